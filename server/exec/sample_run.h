// Runs the steps that go sample by sample.
#ifndef GRADWIRE_EXEC_SAMPLE_RUN_H_
#define GRADWIRE_EXEC_SAMPLE_RUN_H_

#include <functional>

#include "exec/op_times.h"
#include "exec/run_step.h"

namespace gradwire {

// Runs a step that is one of samples (PlanStep::by_sample) on `arrays`, whose outputs are
// allocated: as many parts at once as the calling thread may use threads, each on one.
// `between_ops` is called between; `clock` is told what ran, as the calling thread sees it.
void RunBySample(const PlanStep& step, StepArrays& arrays, Stream& stream,
                 const std::function<void()>& between_ops, OpClock& clock);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_SAMPLE_RUN_H_
