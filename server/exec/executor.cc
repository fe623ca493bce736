#include "exec/executor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "backend/cpu/dnnl.h"
#include "backend/quota.h"
#include "core/error.h"
#include "exec/chain.h"
#include "exec/checks_of_run.h"
#include "exec/memory_plan.h"
#include "exec/op_times.h"
#include "exec/run_step.h"
#include "graph/anomaly.h"
#include "graph/channels_last.h"
#include "graph/op.h"

namespace gradwire {
namespace {

// What one plan may keep of constants that operators make, and as much again of copies of weights.
int64_t MaxKeptBytes(const Quota& quota) {
  constexpr int64_t kMost = int64_t{1} << 30;
  return quota.limit() == 0 ? kMost : std::min(kMost, quota.limit() / 8);
}

// Lets a step whose input that it packs is constant run in its form for that. How many bytes it
// keeps; 0 where it has no such form, or one that needs more than `room`.
int64_t UseConstantForm(const Plan& plan, PlanStep& step, int64_t room) {
  const ChannelsLast* images = step.op->channels_last;
  if (images == nullptr || images->constant == nullptr || step.kernel != images->cpu) return 0;
  Specs inputs;
  for (const int input : step.inputs) {
    inputs.push_back(input == kNoArray ? TensorSpec{} : plan.specs[static_cast<size_t>(input)]);
  }
  const int64_t kept = images->constant->kept_bytes(inputs, step.attributes);
  if (kept == 0 || kept > room) return 0;
  step.kernel = images->constant->cpu;
  return kept;
}

// Lets steps keep copies of constant inputs, up to `room` bytes of them.
void PackConstants(Plan& plan, const NumberedTensors& constants, int64_t room,
                   const PlanOptions& options) {
  absl::flat_hash_map<int, int64_t> bytes;
  for (const auto& [number, tensor] : constants) bytes.emplace(number, tensor.bytes());
  for (PlanStep& step : plan.steps) {
    if (step.op->packs == kPacksNothing) continue;
    const auto found = bytes.find(step.inputs[static_cast<size_t>(step.op->packs)]);
    if (found == bytes.end() || found->second > room) continue;
    step.packed = std::make_shared<onednn::Packed>();
    const int64_t kept = options.winograd ? UseConstantForm(plan, step, room) : 0;
    room -= kept == 0 ? found->second : kept;
  }
}

}  // namespace

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
  for (const PlanStep& step : plan.steps) {
    between_ops_();
    RunStep(step, arrays, stream_, places.has_value() ? &*places : nullptr);
    if (step.chain != nullptr) {
      clock.Ran(step.chain->ops);
    } else {
      clock.Ran(*step.op);
    }
  }
  checks.Finish();
}

NumberedTensors Executor::Fold(Plan& plan, NumberedTensors constants, const PlanOptions& options) {
  constants = FoldSteps(plan, std::move(constants));
  if (stream_.device().type == DeviceType::kCpu) {
    PackConstants(plan, constants, MaxKeptBytes(*stream_.quota()), options);
  }
  return constants;
}

NumberedTensors Executor::FoldSteps(Plan& plan, NumberedTensors constants) {
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
