// Exp, Log, Sqrt, Reciprocal, Erf.
#include <numbers>

#include "graph/formula.h"
#include "ops/elementwise.h"
#include "ops/unary_functors.h"

namespace gradwire {
namespace {

Values ExpVjp(const VjpCall& call) { return {call.dy() * call.output(0)}; }

Values LogVjp(const VjpCall& call) { return {call.dy() / call.input(0)}; }

Values SqrtVjp(const VjpCall& call) { return {call.dy() / (call.output(0) * 2.0)}; }

Values ReciprocalVjp(const VjpCall& call) { return {-call.dy() * Square(call.output(0))}; }

Values ErfVjp(const VjpCall& call) {
  return {call.dy() * Exp(-Square(call.input(0))) * (2.0 * std::numbers::inv_sqrtpi)};
}

GRADWIRE_OP(UnaryRow<fn::Exp>("Exp", 1, ExpVjp, kSaveOutputs));
GRADWIRE_OP(UnaryRow<fn::Log>("Log", 1, LogVjp, kSaveInputs));
GRADWIRE_OP(UnaryRow<fn::Sqrt>("Sqrt", 1, SqrtVjp, kSaveOutputs));
GRADWIRE_OP(UnaryRow<fn::Reciprocal>("Reciprocal", 1, ReciprocalVjp, kSaveOutputs));
GRADWIRE_OP(UnaryRow<fn::Erf>("Erf", 9, ErfVjp, kSaveInputs, {}));

}  // namespace
}  // namespace gradwire
