// Makes a traced plan fast.
#ifndef GRADWIRE_EXEC_IMPROVE_H_
#define GRADWIRE_EXEC_IMPROVE_H_

#include "exec/executor.h"
#include "exec/plan.h"

namespace gradwire {

// Does to a plan what the options ask for, and folds it (Executor::Fold): what is made of
// `constants` alone is computed once, here. Returns the constants that the plan reads then.
NumberedTensors Improve(Plan& plan, NumberedTensors constants, const PlanOptions& options,
                        Executor& executor);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_IMPROVE_H_
