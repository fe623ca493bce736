// Takes the constants that scale and shift an operator's result into the operator.
#ifndef GRADWIRE_EXEC_ABSORB_H_
#define GRADWIRE_EXEC_ABSORB_H_

#include "exec/executor.h"
#include "exec/plan.h"

namespace gradwire {

// Makes a plan for the CPU do without additions of constants, one a channel, and multiplications by
// such, after convolutions with constant weights: these get other weights instead. Several on other
// images, where they differ by channel, become one. Inference's batch normalization is such a
// sequence. Folds the plan (Executor::Fold) and returns the constants that it reads then. Sums are
// rounded otherwise; where a new weight would not be finite, or there is no room for them, nothing
// changes.
NumberedTensors AbsorbConstants(Plan& plan, NumberedTensors constants, Executor& executor);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_ABSORB_H_
