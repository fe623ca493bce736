#include "exec/operator_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "core/strings.h"
#include "exec/host_fallback.h"
#include "graph/kernel.h"

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

void RunKernel(const OpDef& op, Kernel kernel, const Attributes& attributes, const Tensors& inputs,
               Tensors& outputs, Stream& stream) {
  KernelContext context(inputs, std::span(outputs.data(), outputs.size()), attributes, stream);
  HasKernelFor(kernel, inputs, outputs, stream.device().type) ? kernel(context)
                                                              : RunOnHost(op, context);
  ShareStrings(inputs, outputs);
}

void SayWhere(const OpDef& op, const Origin& origin, Error& error) {
  std::string where;
  if (origin.command >= 0) where += fmt::format("command {}: ", origin.command);
  if (origin.node >= 0) where += fmt::format("node {} ", origin.node);
  if (!origin.label.empty()) where += fmt::format("'{}' ", origin.label);
  error.Prefix(fmt::format("{}({}): ", where, op.name));
  error.With("op", std::string(op.name));
  if (origin.command >= 0) error.With("command", std::to_string(origin.command));
  if (origin.node >= 0) error.With("node", std::to_string(origin.node));
  if (!origin.label.empty()) error.With("node_name", origin.label);
}

}  // namespace gradwire
