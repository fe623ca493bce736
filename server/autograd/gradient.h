// The gradient of a function within a trace, as a part of it: what ai.onnx.preview.training's
// Gradient computes.
#ifndef GRADWIRE_AUTOGRAD_GRADIENT_H_
#define GRADWIRE_AUTOGRAD_GRADIENT_H_

#include "autograd/checkpoint.h"

namespace gradwire {

// Gradients of the sum of y's elements, y = function(xs, then zs)[0], with respect to each of xs,
// as if nothing else were behind these. Zeros where y does not depend on one. While the trace
// records they have a graph of their own, where xs, zs or what else the function reads requires
// grad. Throws DTYPE_MISMATCH where y or one of xs is not floating, and as Backward.
Values GradientsOf(const TracedFunction& function, const Values& xs, const Values& zs);

}  // namespace gradwire

#endif  // GRADWIRE_AUTOGRAD_GRADIENT_H_
