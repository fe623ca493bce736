// Arrays in plain host memory that belong to no session: attribute values, decoded messages.
#ifndef GRADWIRE_CORE_HOST_TENSOR_H_
#define GRADWIRE_CORE_HOST_TENSOR_H_

#include <memory>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace gradwire {

class HostBuffer : public Buffer {
 public:
  static BufferPtr Make(size_t bytes) {
    auto memory = std::make_unique<std::vector<std::byte>>(bytes);
    void* data = memory->data();
    return BufferPtr(new HostBuffer(std::move(memory), data, bytes));
  }

 private:
  HostBuffer(std::unique_ptr<std::vector<std::byte>> memory, void* data, size_t bytes)
      : Buffer(data, bytes, Device{}), memory_(std::move(memory)) {}
  const std::unique_ptr<std::vector<std::byte>> memory_;
};

// Zero-filled.
inline Tensor HostTensor(TensorSpec spec) {
  const auto bytes = static_cast<size_t>(spec.bytes());
  return {std::move(spec), HostBuffer::Make(bytes)};
}

}  // namespace gradwire

#endif  // GRADWIRE_CORE_HOST_TENSOR_H_
