#include "exec/improve.h"

#include <memory>
#include <utility>

#include "core/parallel.h"
#include "exec/absorb.h"
#include "exec/by_sample.h"
#include "exec/epilogue.h"
#include "exec/fusion.h"
#include "exec/memory_plan.h"
#include "exec/pack.h"
#include "exec/postpone.h"
#include "exec/relayout.h"

namespace gradwire {
namespace {

void FuseAndPlace(Plan& plan, const PlanOptions& options, Stream& stream) {
  if (options.fuse) plan = Fuse(FuseEpilogues(std::move(plan)), stream);
  for (const PlanStep& step : plan.steps) {
    if (step.by_sample != nullptr) FuseAndPlace(step.by_sample->plan, options, stream);
  }
  if (options.memory && stream.device().type == DeviceType::kCpu) {
    plan.memory = std::make_shared<const MemoryPlan>(plan);
  }
}

}  // namespace

NumberedTensors Improve(Plan& plan, NumberedTensors constants, const PlanOptions& options,
                        Executor& executor) {
  Stream& stream = executor.stream();
  if (options.absorb) constants = AbsorbConstants(plan, std::move(constants), executor);
  if (options.fuse) plan = PostponeRelu(std::move(plan));
  if (options.channels_last) plan = PutChannelsLast(plan);
  constants = executor.Fold(plan, std::move(constants));
  if (stream.device().type == DeviceType::kCpu) {
    if (options.by_sample) plan = SplitBySample(plan, constants, options, AvailableCpus());
    PackConstants(plan, constants, options, MaxKeptBytes(*stream.quota()));
  }
  FuseAndPlace(plan, options, stream);
  return constants;
}

}  // namespace gradwire
