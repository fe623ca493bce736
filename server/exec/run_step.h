// Runs the steps of plans.
#ifndef GRADWIRE_EXEC_RUN_STEP_H_
#define GRADWIRE_EXEC_RUN_STEP_H_

#include <span>
#include <vector>

#include "exec/operator_run.h"
#include "exec/plan.h"

namespace gradwire {

// What a step ran on.
struct StepArrays {
  Tensors inputs;
  Tensors outputs;
};

// Takes the step's inputs from `arrays`, by number, and puts its outputs there; frees or reuses
// what nobody reads afterwards. Where `places` has a buffer for an array, it is put there. Errors
// say where they come from.
StepArrays RunStep(const PlanStep& step, std::vector<Tensor>& arrays, Stream& stream,
                   std::span<const BufferPtr> places = {});

// Runs an operator's step anew on the arrays that it ran on before.
void RunStepAgain(const PlanStep& step, StepArrays& arrays, Stream& stream);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_RUN_STEP_H_
