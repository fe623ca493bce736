#include "exec/host_fallback.h"

#include "absl/container/inlined_vector.h"
#include "backend/on_host.h"

namespace gradwire {

HostFallbacks& HostFallbacks::Global() {
  static HostFallbacks fallbacks;
  return fallbacks;
}

void HostFallbacks::Count(const OpDef& op) {
  const std::lock_guard lock(mutex_);
  ++runs_[&op];
}

std::map<const OpDef*, int64_t> HostFallbacks::Read() const {
  const std::lock_guard lock(mutex_);
  return runs_;
}

void RunOnHost(const OpDef& op, KernelContext& context) {
  HostFallbacks::Global().Count(op);
  Stream& device = context.stream();
  absl::InlinedVector<Tensor, 4> inputs;
  for (size_t i = 0; i < context.num_inputs(); ++i) {
    inputs.push_back(context.has(i) ? OnHost(context.input(i), device) : Tensor());
  }
  absl::InlinedVector<Tensor, 4> outputs;
  for (size_t i = 0; i < context.num_outputs(); ++i) {
    outputs.push_back(AllocateTensor(device.host(), context.output(i).spec()));
  }
  KernelContext on_host(inputs, std::span(outputs.data(), outputs.size()), context.attributes(),
                        device.host());
  op.cpu(on_host);
  for (size_t i = 0; i < outputs.size(); ++i) {
    device.Upload(outputs[i].data<char>(), *context.output(i).buffer(), outputs[i].bytes());
  }
}

}  // namespace gradwire
