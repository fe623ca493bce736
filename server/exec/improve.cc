#include "exec/improve.h"

#include <memory>
#include <utility>

#include "exec/absorb.h"
#include "exec/epilogue.h"
#include "exec/fusion.h"
#include "exec/memory_plan.h"
#include "exec/postpone.h"
#include "exec/relayout.h"

namespace gradwire {

NumberedTensors Improve(Plan& plan, NumberedTensors constants, const PlanOptions& options,
                        Executor& executor) {
  if (options.absorb) constants = AbsorbConstants(plan, std::move(constants), executor);
  if (options.fuse) plan = PostponeRelu(std::move(plan));
  if (options.channels_last) plan = PutChannelsLast(plan);
  constants = executor.Fold(plan, std::move(constants), options);
  if (options.fuse) plan = Fuse(FuseEpilogues(std::move(plan)), executor.stream());
  if (options.memory && executor.stream().device().type == DeviceType::kCpu) {
    plan.memory = std::make_shared<const MemoryPlan>(plan);
  }
  return constants;
}

}  // namespace gradwire
