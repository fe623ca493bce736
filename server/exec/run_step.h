// Runs the steps of plans.
#ifndef GRADWIRE_EXEC_RUN_STEP_H_
#define GRADWIRE_EXEC_RUN_STEP_H_

#include <functional>
#include <vector>

#include "exec/op_times.h"
#include "exec/operator_run.h"
#include "exec/plan.h"

namespace gradwire {

// What a step ran on.
struct StepArrays {
  Tensors inputs;
  Tensors outputs;
};

// Where a run puts arrays, by number.
class Places {
 public:
  virtual ~Places() = default;
  // Memory for an array of so many bytes; null: the run is to find some.
  virtual BufferPtr Of(int array, size_t bytes) = 0;
  // Whether `from`, which nobody reads any more, may leave its memory to `to`, which has no place
  // and is kNoArray where nobody reads it.
  virtual bool MayTakeOver(int from, int to) const = 0;
};

// Some bytes of a buffer, which lives at least as long as they do. Each call makes another, so that
// who holds this one can be told.
BufferPtr PartOf(const BufferPtr& whole, size_t offset, size_t bytes);

// How a step of samples (PlanStep::by_sample) is run.
using RunsBySample = std::function<void(const PlanStep& step, StepArrays& arrays)>;

// Takes the step's inputs from `arrays`, by number, and puts its outputs there; frees or reuses
// what nobody reads afterwards. Without `places`, arrays are put wherever there is memory. Errors
// say where they come from. REQUIRES: `by_sample` where the step is one of samples.
StepArrays RunStep(const PlanStep& step, std::vector<Tensor>& arrays, Stream& stream,
                   Places* places = nullptr, const RunsBySample& by_sample = nullptr);

// Tells a clock that a step ran.
void Ran(OpClock& clock, const PlanStep& step, int runs);

// Runs an operator's step anew on the arrays that it ran on before.
void RunStepAgain(const PlanStep& step, StepArrays& arrays, Stream& stream);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_RUN_STEP_H_
