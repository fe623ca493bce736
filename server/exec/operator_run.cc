#include "exec/operator_run.h"

#include <algorithm>

#include "core/strings.h"
#include "exec/host_fallback.h"

namespace gradwire {
namespace {

// Strings that a kernel only moved lie in the pools of its inputs.
void ShareStrings(const Tensors& inputs, Tensors& outputs) {
  for (Tensor& output : outputs) {
    if (output.dtype() != DType::kString || !output.buffer()->held().empty()) continue;
    for (const Tensor& input : inputs) {
      if (input && input.dtype() == DType::kString) HoldPools(input, output);
    }
  }
}

// Otherwise the operator, or an array's element type, is left to the host.
bool HasKernelFor(Kernel kernel, const Tensors& inputs, const Tensors& outputs, DeviceType device) {
  if (device == DeviceType::kCpu) return true;
  const auto fits = [types = TypesOn(device)](const Tensor& tensor) {
    return !tensor || types.Contains(tensor.dtype());
  };
  return kernel != nullptr && std::all_of(inputs.begin(), inputs.end(), fits) &&
         std::all_of(outputs.begin(), outputs.end(), fits);
}

}  // namespace

void RunKernel(const OperatorCall& call, const Tensors& inputs, Tensors& outputs, Stream& stream) {
  KernelContext context(inputs, std::span(outputs.data(), outputs.size()), call.attributes, stream,
                        call.packed, &call.op, &call.origin);
  HasKernelFor(call.kernel, inputs, outputs, stream.device().type) ? call.kernel(context)
                                                                   : RunOnHost(call.op, context);
  ShareStrings(inputs, outputs);
}

}  // namespace gradwire
