#include "exec/executor.h"

#include <optional>
#include <utility>

#include "backend/quota.h"
#include "core/error.h"
#include "exec/checks_of_run.h"
#include "exec/memory_plan.h"
#include "exec/op_times.h"
#include "exec/pack.h"
#include "exec/run_step.h"
#include "exec/sample_run.h"
#include "graph/anomaly.h"
#include "graph/op.h"

namespace gradwire {

void Executor::Evaluate(std::span<const Value> values) {
  Schedule schedule = MakeSchedule(values);
  ChecksOfRun checks(stream_);
  OpClock clock;
  for (NodePtr& node : schedule) {
    between_ops_();
    const Profile::Scope recorded(profile_, *node);
    Placed(node->op(), node->origin(), [&] { Run(*node); });
    if (profile_ != nullptr) stream_.Synchronize();  // or the record were of queueing
    clock.Ran(node->op());
    node.reset();
  }
  checks.Finish();
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
  const OpDef& op = node.op();
  Tensors outputs;
  for (size_t i = 0; i < node.num_outputs(); ++i) {
    const TensorSpec& spec = node.output_slot(static_cast<int>(i))->spec;
    BufferPtr buffer = op.alias ? inputs[i].buffer() : nullptr;
    if (!op.alias && i == 0) buffer = DonatedBy(op, inputs, spec, donates);
    outputs.push_back(buffer ? Tensor(spec, std::move(buffer)) : AllocateTensor(stream_, spec));
  }
  if (!op.alias) {
    const Kernel kernel = KernelOn(op, stream_.device().type);
    RunKernel({op, kernel, node.attributes(), node.origin()}, inputs, outputs, stream_);
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    Slot& slot = *node.output_slot(static_cast<int>(i));
    slot.tensor = std::move(outputs[i]);
    slot.state = Slot::State::kReady;
  }
  if (node.watch() != nullptr) CheckWatch(node, *node.watch(), stream_);
  node.AfterRun();
}

void Executor::Run(const Plan& plan, std::vector<Tensor>& arrays) {
  ChecksOfRun checks(stream_);
  OpClock clock;
  std::optional<PlannedPlaces> places;
  if (plan.memory != nullptr) places.emplace(*plan.memory, stream_);
  const RunsBySample by_sample = [&](const PlanStep& step, StepArrays& call) {
    RunBySample(step, call, stream_, between_ops_, clock);
  };
  for (const PlanStep& step : plan.steps) {
    between_ops_();
    RunStep(step, arrays, stream_, places.has_value() ? &*places : nullptr, by_sample);
    if (step.by_sample == nullptr) Ran(clock, step, 1);
  }
  checks.Finish();
}

NumberedTensors Executor::Fold(Plan& plan, NumberedTensors constants) {
  Folding folding = SplitConstant(plan, constants);
  if (folding.bytes > MaxKeptBytes(*stream_.quota()) || folding.constant.steps.empty())
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
