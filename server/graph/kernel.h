// What a kernel sees of one call.
#ifndef GRADWIRE_GRAPH_KERNEL_H_
#define GRADWIRE_GRAPH_KERNEL_H_

#include <span>

#include "backend/backend.h"
#include "core/attributes.h"
#include "core/error.h"
#include "core/tensor.h"

namespace gradwire {

namespace onednn {
class Packed;  // backend/cpu/dnnl.h
}
struct OpDef;
struct Origin;

// Says in an error which call it comes from, unless it says so already.
void SayWhere(const OpDef& op, const Origin& origin, Error& error);

class KernelContext {
 public:
  // `packed` is kept for further calls whose constant inputs are the same arrays; may be null. Of
  // which call it is, `op` and `origin` say, for checks that come later.
  KernelContext(std::span<const Tensor> inputs, std::span<Tensor> outputs,
                const Attributes& attributes, Stream& stream, onednn::Packed* packed = nullptr,
                const OpDef* op = nullptr, const Origin* origin = nullptr)
      : inputs_(inputs),
        outputs_(outputs),
        attributes_(attributes),
        stream_(stream),
        packed_(packed),
        op_(op),
        origin_(origin) {}

  size_t num_inputs() const { return inputs_.size(); }
  size_t num_outputs() const { return outputs_.size(); }
  bool has(size_t i) const { return i < inputs_.size() && static_cast<bool>(inputs_[i]); }
  // Input i; an empty Tensor when it was left out.
  const Tensor& input(size_t i) const { return inputs_[i]; }
  // Output i, allocated, its contents undefined.
  Tensor& output(size_t i) { return outputs_[i]; }

  template <class T>
  const T* in(size_t i) const {
    return inputs_[i].template data<T>();
  }
  template <class T>
  T* out(size_t i) {
    return outputs_[i].template mutable_data<T>();
  }

  const Attributes& attributes() const { return attributes_; }
  Stream& stream() { return stream_; }
  // Where to keep a copy of the input that OpDef::packs names; null where it differs from call to
  // call.
  onednn::Packed* packed() const { return packed_; }
  // Working memory for this call.
  BufferPtr Scratch(size_t bytes) { return stream_.Allocate(bytes); }
  // Stream::CheckLater, in whose errors the call is named.
  void CheckLater(const Buffer& from, size_t bytes, const Stream::ArrayCheck& check);

 private:
  std::span<const Tensor> inputs_;
  std::span<Tensor> outputs_;
  const Attributes& attributes_;
  Stream& stream_;
  onednn::Packed* packed_;
  const OpDef* op_;
  const Origin* origin_;
};

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_KERNEL_H_
