// Transaction::Backward and Gradients: names in, names out, around the walk of autograd/.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "graph/formula.h"
#include "session/trace_nodes.h"
#include "session/transaction.h"

namespace gradwire {

std::vector<Value> Transaction::Seeds(const std::vector<std::string>& roots,
                                      const std::vector<SeedArg>& seeds) const {
  std::vector<Value> values(roots.size());
  for (const SeedArg& seed : seeds) {
    const auto root = std::find(roots.begin(), roots.end(), seed.of);
    if (root == roots.end()) {
      throw Error(reason::kInvalidArgument,
                  fmt::format("a seed is given for '{}', which is not among the roots", seed.of));
    }
    values[static_cast<size_t>(root - roots.begin())] =
        seed.value.has_value() ? Value(*seed.value) : Look(seed.tensor);
  }
  return values;
}

std::vector<Value> Transaction::Roots(const std::vector<std::string>& names) const {
  std::vector<Value> roots = LookAll(names);
  for (size_t i = 0; i < roots.size(); ++i) {
    if (roots[i].requires_grad()) continue;
    throw Error(reason::kNoGraph,
                fmt::format("element {} of tensors does not require grad and does not have a "
                            "grad_fn: '{}'",
                            i, names[i]))
        .With("tensor", names[i]);
  }
  return roots;
}

std::vector<Value> Transaction::Inputs(const std::vector<std::string>& names) const {
  std::vector<Value> inputs = LookAll(names);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].requires_grad()) continue;
    throw Error(
        reason::kNoGraph,
        fmt::format("One of the differentiated Tensors does not require grad: '{}'", names[i]))
        .With("tensor", names[i]);
  }
  return inputs;
}

BackwardResult Transaction::Walk(const std::vector<std::string>& roots,
                                 const std::vector<SeedArg>& seeds, std::span<const Value> inputs,
                                 const BackwardOptions& options) {
  const std::vector<Value> values = Roots(roots);
  BackwardResult result = gradwire::Backward(values, Seeds(roots, seeds), inputs, options);
  for (NodePtr& node : result.freed) freed_.push_back(std::move(node));
  return result;
}

TensorInfo Transaction::Accumulate(const std::string& name, const Value& gradient) {
  const std::string grad = GradName(name);
  const Value* before = Find(grad);
  if (before != nullptr && before->dims() != gradient.dims()) {
    throw Error(reason::kShapeMismatch,
                fmt::format("'{}' is {}, a gradient of {} cannot be added to it: zero it after a "
                            "change of shape",
                            grad, ToString(before->spec()), ToString(gradient.spec())))
        .With("tensor", grad);
  }
  const Value sum = before != nullptr ? *before + gradient : gradient;
  Bind(grad, sum);
  return Info(grad, sum);
}

std::vector<TensorInfo> Transaction::Backward(const BackwardArgs& args) {
  if (args.roots.empty()) throw Error(reason::kInvalidArgument, "'roots' cannot be empty");
  trace_.set_detects_anomalies(args.detect_anomaly);
  std::vector<std::string> names = args.inputs;
  std::vector<Value> inputs = LookAll(args.inputs);
  if (args.inputs.empty()) {
    for (Value& leaf : LeavesOf(LookAll(args.roots))) {
      // A leaf whose name is gone has nowhere to collect.
      if (FindItem(leaf.leaf()->name) == nullptr) continue;
      names.push_back(leaf.leaf()->name);
      inputs.push_back(std::move(leaf));
    }
  }
  for (const std::string& name : args.retain_grad) {
    names.push_back(name);
    inputs.push_back(Look(name));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].requires_grad()) continue;
    throw Error(reason::kNoGraph, fmt::format("tensor '{}' does not require grad", names[i]))
        .With("tensor", names[i]);
  }
  const BackwardResult result = Walk(args.roots, args.seeds, inputs, args.options);
  const RecordingScope recording(args.options.create_graph);
  std::vector<TensorInfo> infos;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (result.gradients[i]) infos.push_back(Accumulate(names[i], result.gradients[i]));
  }
  return infos;
}

std::vector<TensorInfo> Transaction::Gradients(const GradientsArgs& args) {
  if (args.outputs.empty()) throw Error(reason::kInvalidArgument, "'outputs' cannot be empty");
  if (!args.names.empty() && args.names.size() != args.inputs.size()) {
    throw Error(reason::kInvalidArgument, fmt::format("{} names are given for {} inputs",
                                                      args.names.size(), args.inputs.size()));
  }
  trace_.set_detects_anomalies(args.detect_anomaly);
  const std::vector<Value> inputs = Inputs(args.inputs);
  const BackwardResult result = Walk(args.outputs, args.seeds, inputs, args.options);
  std::vector<TensorInfo> infos;
  for (size_t i = 0; i < inputs.size(); ++i) {
    Value gradient = result.gradients[i];
    if (!gradient && !args.allow_unused) {
      throw Error(reason::kNoGraph,
                  fmt::format("One of the differentiated Tensors appears to not have been used in "
                              "the graph. Set allow_unused=True if this is the desired behavior: "
                              "'{}'",
                              args.inputs[i]))
          .With("tensor", args.inputs[i]);
    }
    if (!gradient) gradient = ZerosLike(inputs[i].spec());
    const std::string name = args.names.empty() ? GradName(args.inputs[i]) : args.names[i];
    Bind(name, gradient);
    infos.push_back(Info(name, gradient));
  }
  return infos;
}

void Transaction::ZeroGrad(const std::vector<std::string>& parameters) {
  if (parameters.empty()) {
    for (const std::string& name : NamesWith("grad/")) Unbind(name);
    return;
  }
  for (const std::string& name : parameters) {
    LookItem(name);
    Unbind(GradName(name));
  }
}

}  // namespace gradwire
