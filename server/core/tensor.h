// Memory and arrays. A Tensor is immutable once a kernel has filled it, and cheap to copy.
#ifndef GRADWIRE_CORE_TENSOR_H_
#define GRADWIRE_CORE_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/shape.h"

namespace gradwire {

enum class DeviceType : int8_t { kCpu = 0, kCuda = 1 };
inline constexpr int kDeviceTypeCount = 2;

struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;

  // "cpu", "cuda:0".
  std::string name() const {
    return type == DeviceType::kCpu ? "cpu" : "cuda:" + std::to_string(index);
  }
  bool operator==(const Device&) const = default;
};

// A block of a device's memory, aligned to 64 bytes, given back when the last holder lets go. It
// may hold others, which its elements refer to (core/strings.h).
class Buffer {
 public:
  Buffer(void* data, size_t bytes, Device device) : data_(data), bytes_(bytes), device_(device) {}
  virtual ~Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

  // For the one that fills the block, and for it alone.
  void Hold(std::shared_ptr<const Buffer> other) { held_.push_back(std::move(other)); }
  const std::vector<std::shared_ptr<const Buffer>>& held() const { return held_; }

 private:
  void* data_;
  size_t bytes_;
  Device device_;
  std::vector<std::shared_ptr<const Buffer>> held_;
};
using BufferPtr = std::shared_ptr<Buffer>;

// A dense row-major array: a spec over a buffer that holds at least spec.bytes(). A default-made
// Tensor is empty: no array at all (not one of zero elements).
class Tensor {
 public:
  Tensor() = default;
  Tensor(TensorSpec spec, BufferPtr buffer) : spec_(std::move(spec)), buffer_(std::move(buffer)) {}

  explicit operator bool() const { return buffer_ != nullptr; }
  const TensorSpec& spec() const { return spec_; }
  DType dtype() const { return spec_.dtype; }
  const Dims& dims() const { return spec_.dims; }
  int rank() const { return spec_.rank(); }
  int64_t numel() const { return spec_.numel(); }
  size_t bytes() const { return static_cast<size_t>(spec_.bytes()); }
  Device device() const { return buffer_->device(); }
  const BufferPtr& buffer() const { return buffer_; }

  // The elements; T must be the C++ type of dtype().
  template <class T>
  const T* data() const {
    return static_cast<const T*>(buffer_->data());
  }
  // For the kernel that fills the tensor, and for it alone.
  template <class T>
  T* mutable_data() {
    return static_cast<T*>(buffer_->data());
  }

 private:
  TensorSpec spec_;
  BufferPtr buffer_;
};

}  // namespace gradwire

#endif  // GRADWIRE_CORE_TENSOR_H_
