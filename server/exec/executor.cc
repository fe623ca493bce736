#include "exec/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "backend/quota.h"
#include "core/error.h"
#include "core/strings.h"
#include "exec/chain.h"
#include "exec/host_fallback.h"
#include "exec/op_times.h"
#include "graph/anomaly.h"
#include "graph/kernel.h"
#include "graph/op.h"

namespace gradwire {
namespace {

using Tensors = absl::InlinedVector<Tensor, 4>;

// What one plan may keep: a model whose weights are made by operators has them as constants then.
int64_t MaxFoldedBytes(const Quota& quota) {
  constexpr int64_t kMost = int64_t{1} << 30;
  return quota.limit() == 0 ? kMost : std::min(kMost, quota.limit() / 8);
}

// Strings that a kernel only moved lie in the pools of its inputs.
void ShareStrings(const Tensors& inputs, Tensors& outputs) {
  for (Tensor& output : outputs) {
    if (output.dtype() != DType::kString || !output.buffer()->held().empty()) continue;
    for (const Tensor& input : inputs) {
      if (input && input.dtype() == DType::kString) HoldPools(input, output);
    }
  }
}

// One operator's call, whoever asks for it.
struct OpRun {
  const OpDef& op;
  Kernel kernel;
  const Attributes& attributes;
  Stream& stream;

  // `spec_of(i)` is the spec of output i; `donates(i)` whether output 0 may take over the buffer of
  // input i.
  template <class SpecOf, class Donates>
  Tensors operator()(const Tensors& inputs, size_t num_outputs, const SpecOf& spec_of,
                     const Donates& donates) const {
    Tensors outputs;
    if (op.alias) {
      for (size_t i = 0; i < num_outputs; ++i) {
        outputs.emplace_back(spec_of(i), inputs[i].buffer());
      }
      return outputs;
    }
    for (size_t i = 0; i < num_outputs; ++i) {
      BufferPtr donated = i == 0 ? Donated(inputs, spec_of(0), donates) : nullptr;
      outputs.push_back(donated ? Tensor(spec_of(i), std::move(donated))
                                : AllocateTensor(stream, spec_of(i)));
    }
    KernelContext context(inputs, std::span(outputs.data(), outputs.size()), attributes, stream);
    HasKernelFor(inputs, outputs) ? kernel(context) : RunOnHost(op, context);
    ShareStrings(inputs, outputs);
    return outputs;
  }

 private:
  // Otherwise the operator, or an array's element type, is left to the host.
  bool HasKernelFor(const Tensors& inputs, const Tensors& outputs) const {
    const DeviceType device = stream.device().type;
    if (device == DeviceType::kCpu) return true;
    const auto fits = [types = TypesOn(device)](const Tensor& tensor) {
      return !tensor || types.Contains(tensor.dtype());
    };
    return kernel != nullptr && std::all_of(inputs.begin(), inputs.end(), fits) &&
           std::all_of(outputs.begin(), outputs.end(), fits);
  }
  template <class Donates>
  BufferPtr Donated(const Tensors& inputs, const TensorSpec& spec, const Donates& donates) const {
    // A buffer of strings holds pools: those of one array, not of the next.
    if (!op.in_place || spec.dtype == DType::kString) return nullptr;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const bool fits = inputs[i] && inputs[i].dims() == spec.dims &&
                        BitWidth(inputs[i].dtype()) == BitWidth(spec.dtype);
      if (fits && donates(i)) return inputs[i].buffer();
    }
    return nullptr;
  }
};

// Errors of the trace are placed by the verb that traces; a kernel's only here.
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

// Calls `run`; its errors say where they come from.
template <class Run>
void Placed(const OpDef& op, const Origin& origin, const Run& run) {
  try {
    run();
  } catch (Error& error) {
    if (error.reason().name != reason::kNonFinite.name) SayWhere(op, origin, error);
    throw;
  }
}

Tensors RunOperator(const PlanStep& step, const Tensors& inputs, Stream& stream) {
  const OpRun run{*step.op, step.kernel, step.attributes, stream};
  return run(
      inputs, step.outputs.size(), [&](size_t i) -> const TensorSpec& { return step.specs[i]; },
      [&](size_t i) { return step.last_use[i] && inputs[i].buffer().use_count() == 1; });
}

Tensors RunLinks(const PlanStep& step, const Tensors& inputs, Stream& stream) {
  Tensors outputs;
  for (size_t i = 0; i < step.outputs.size(); ++i) {
    const std::vector<size_t>& donors = step.chain->donors[i];
    const auto donor = std::find_if(donors.begin(), donors.end(), [&](size_t k) {
      return step.last_use[k] && inputs[k].buffer().use_count() == 1;
    });
    outputs.push_back(donor != donors.end() ? Tensor(step.specs[i], inputs[*donor].buffer())
                                            : AllocateTensor(stream, step.specs[i]));
  }
  const std::span results(outputs.data(), outputs.size());
  const auto& generated = step.chain->generated;
  generated ? generated->Run(inputs, results, stream) : RunChain(*step.chain, inputs, results);
  return outputs;
}

void RunStep(const PlanStep& step, std::vector<Tensor>& arrays, Stream& stream) {
  Tensors inputs;
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    if (step.inputs[i] == kNoArray) {
      inputs.emplace_back();
      continue;
    }
    Tensor& array = arrays[static_cast<size_t>(step.inputs[i])];
    inputs.push_back(step.last_use[i] ? std::move(array) : array);
  }
  Tensors outputs =
      step.chain != nullptr ? RunLinks(step, inputs, stream) : RunOperator(step, inputs, stream);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (step.outputs[i] != kNoArray) {
      arrays[static_cast<size_t>(step.outputs[i])] = std::move(outputs[i]);
    }
  }
}

}  // namespace

void Executor::Evaluate(std::span<const Value> values) {
  Schedule schedule = MakeSchedule(values);
  OpClock clock;
  for (NodePtr& node : schedule) {
    between_ops_();
    const Profile::Scope recorded(profile_, *node);
    Placed(node->op(), node->origin(), [&] { Run(*node); });
    if (profile_ != nullptr) stream_.Synchronize();  // or the record were of queueing
    clock.Ran(node->op());
    node.reset();
  }
}

void Executor::Run(Node& node) {
  Tensors inputs;
  for (const Value& input : node.inputs()) inputs.push_back(input ? input.tensor() : Tensor());
  // Whether this node is the array's last reader and the buffer is not shared with another array:
  // the node's input and, for the length of the run, `inputs` hold it.
  const auto donates = [&](size_t i) {
    const bool kept = node.recorded() && node.SavesInput(i);
    return !kept && node.inputs()[i].slot().use_count() == 1 && inputs[i].buffer().use_count() == 2;
  };
  const OpRun run{node.op(), KernelOn(node.op(), stream_.device().type), node.attributes(),
                  stream_};
  Tensors outputs = run(
      inputs, node.num_outputs(),
      [&](size_t i) -> const TensorSpec& { return node.output_slot(static_cast<int>(i))->spec; },
      donates);
  for (size_t i = 0; i < outputs.size(); ++i) {
    Slot& slot = *node.output_slot(static_cast<int>(i));
    slot.tensor = std::move(outputs[i]);
    slot.state = Slot::State::kReady;
  }
  if (node.watch() != nullptr) CheckWatch(node, *node.watch(), stream_);
  node.AfterRun();
}

void Executor::Run(const Plan& plan, std::vector<Tensor>& arrays) {
  OpClock clock;
  for (const PlanStep& step : plan.steps) {
    between_ops_();
    Placed(*step.op, step.origin, [&] { RunStep(step, arrays, stream_); });
    if (step.chain != nullptr) {
      clock.Ran(step.chain->ops);
    } else {
      clock.Ran(*step.op);
    }
  }
}

NumberedTensors Executor::Fold(Plan& plan, NumberedTensors constants) {
  Folding folding = SplitConstant(plan, constants);
  if (folding.bytes > MaxFoldedBytes(*stream_.quota()) || folding.constant.steps.empty())
    return constants;
  std::vector<Tensor> arrays(plan.specs.size());
  for (const auto& [number, tensor] : constants) arrays[static_cast<size_t>(number)] = tensor;
  try {
    Run(folding.constant, arrays);
  } catch (const Error&) {
    return constants;  // no room: each run computes them
  }
  plan = std::move(folding.rest);
  NumberedTensors needed;
  for (const int number : folding.needed) {
    needed.emplace_back(number, arrays[static_cast<size_t>(number)]);
  }
  return needed;
}

}  // namespace gradwire
