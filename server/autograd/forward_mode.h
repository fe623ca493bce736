// Jacobian-vector and Hessian-vector products of a traced graph, by walking it twice in reverse.
// The result is traced too: nothing runs here.
#ifndef GRADWIRE_AUTOGRAD_FORWARD_MODE_H_
#define GRADWIRE_AUTOGRAD_FORWARD_MODE_H_

#include <span>

#include "autograd/backward.h"

namespace gradwire {

// For each output, sum_i d output / d input_i * tangent_i: zeros where it depends on no input. The
// result's `gradients` are these, as long as the outputs; `used` and `freed` are as of Backward.
//
// The gradient of the outputs for a seed v is linear in v. So its own derivative with respect to v,
// along the tangents, is the product with the Jacobian; the value of v does not matter.
//
// Each tangent has its input's shape and element type. REQUIRES: outputs and inputs require grad.
// Throws what Backward throws: NOT_DIFFERENTIABLE also where a derivative has no derivative.
BackwardResult Jvp(std::span<const Value> outputs, std::span<const Value> inputs,
                   std::span<const Value> tangents, const BackwardOptions& options);

// For each input i, sum_j d^2 output / (d input_i d input_j) * vector_j, likewise: zeros where the
// gradient does not depend on it. `output` has one element (checked).
BackwardResult Hvp(const Value& output, std::span<const Value> inputs,
                   std::span<const Value> vectors, const BackwardOptions& options);

}  // namespace gradwire

#endif  // GRADWIRE_AUTOGRAD_FORWARD_MODE_H_
