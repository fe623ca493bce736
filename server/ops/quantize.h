// Rounding to integer types.
#ifndef GRADWIRE_OPS_QUANTIZE_H_
#define GRADWIRE_OPS_QUANTIZE_H_

#include "graph/formula.h"

namespace gradwire {

// Floating elements rounded to the nearest integer, ties to even, and kept within the range of an
// integer type.
Value SaturateTo(const Value& x, DType dtype);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_QUANTIZE_H_
