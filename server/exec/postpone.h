// Elementwise operators where fewer passes over fewer elements do the same.
#ifndef GRADWIRE_EXEC_POSTPONE_H_
#define GRADWIRE_EXEC_POSTPONE_H_

#include "exec/plan.h"

namespace gradwire {

// The same plan with Relu after Concat and MaxPool rather than before: a maximum of what Relu gives
// is Relu of the maximum, to the bit, NaN too. Only where nobody else reads what lies between, and
// where no position of a maximum is asked for: of equal ones it would be another.
Plan PostponeRelu(Plan plan);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_POSTPONE_H_
