#include "exec/executor.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"
#include "exec/op_times.h"
#include "graph/anomaly.h"
#include "graph/kernel.h"
#include "graph/op.h"

namespace gradwire {
namespace {

using Tensors = absl::InlinedVector<Tensor, 4>;

// Whether this node is the array's last reader and the buffer is not shared with another array.
// The node's input and, for the length of the run, `held` hold it.
bool IsLastUse(const Value& input, const Tensor& held) {
  return input.slot().use_count() == 1 && held.buffer().use_count() == 2;
}

// The buffer of an input that output 0 may take over; nullptr where there is none.
BufferPtr Donated(const Node& node, const Tensors& inputs) {
  if (!node.op().in_place) return nullptr;
  const TensorSpec& spec = node.output_slot(0)->spec;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool fits = inputs[i] && inputs[i].dims() == spec.dims &&
                      BitWidth(inputs[i].dtype()) == BitWidth(spec.dtype);
    const bool kept = node.recorded() && node.SavesInput(i);
    if (fits && !kept && IsLastUse(node.inputs()[i], inputs[i])) return inputs[i].buffer();
  }
  return nullptr;
}

Tensors AllocateOutputs(const Node& node, const Tensors& inputs, Stream& stream) {
  Tensors outputs;
  for (size_t i = 0; i < node.num_outputs(); ++i) {
    const TensorSpec& spec = node.output_slot(static_cast<int>(i))->spec;
    BufferPtr donated = i == 0 ? Donated(node, inputs) : nullptr;
    outputs.push_back(donated ? Tensor(spec, std::move(donated)) : AllocateTensor(stream, spec));
  }
  return outputs;
}

// Errors of the trace are placed by the verb that traces; a kernel's only here.
void SayWhere(const Node& node, Error& error) {
  const Origin& origin = node.origin();
  std::string where;
  if (origin.command >= 0) where += fmt::format("command {}: ", origin.command);
  if (origin.node >= 0) where += fmt::format("node {} ", origin.node);
  if (!origin.label.empty()) where += fmt::format("'{}' ", origin.label);
  error.Prefix(fmt::format("{}({}): ", where, node.op().name));
  error.With("op", std::string(node.op().name));
  if (origin.command >= 0) error.With("command", std::to_string(origin.command));
  if (origin.node >= 0) error.With("node", std::to_string(origin.node));
  if (!origin.label.empty()) error.With("node_name", origin.label);
}

}  // namespace

void Executor::Evaluate(std::span<const Value> values) {
  Plan plan = MakePlan(values);
  OpClock clock;
  for (NodePtr& node : plan.nodes) {
    between_ops_();
    try {
      clock.Measure(node->op(), [&] { Run(*node); });
    } catch (Error& error) {
      if (error.reason().name != reason::kNonFinite.name) SayWhere(*node, error);
      throw;
    }
    node.reset();
  }
}

void Executor::Run(Node& node) {
  Tensors inputs;
  for (const Value& input : node.inputs()) inputs.push_back(input ? input.tensor() : Tensor());
  Tensors outputs;
  if (node.op().alias) {
    for (size_t i = 0; i < node.num_outputs(); ++i) {
      outputs.emplace_back(node.output_slot(static_cast<int>(i))->spec, inputs[i].buffer());
    }
  } else {
    outputs = AllocateOutputs(node, inputs, stream_);
    KernelContext context(inputs, std::span(outputs.data(), outputs.size()), node.attributes(),
                          stream_);
    KernelOn(node.op(), stream_.device().type)(context);
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    Slot& slot = *node.output_slot(static_cast<int>(i));
    slot.tensor = std::move(outputs[i]);
    slot.state = Slot::State::kReady;
  }
  if (node.watch() != nullptr) CheckWatch(node, *node.watch(), stream_);
  node.AfterRun();
}

}  // namespace gradwire
