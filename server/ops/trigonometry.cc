// The circular and hyperbolic functions and their inverses, but for Tanh, which is an activation.
#include "graph/formula.h"
#include "ops/elementwise.h"
#include "ops/unary_functors.h"

namespace gradwire {
namespace {

// dy * f(x).
template <Value (*kDerivative)(const Value&)>
Values TimesOf(const VjpCall& call) {
  return {call.dy() * kDerivative(call.input(0))};
}

Value MinusSin(const Value& x) { return -Sin(x); }
Value Cosh(const Value& x) { return Call("Cosh", {x}); }
Value Sinh(const Value& x) { return Call("Sinh", {x}); }
Value AsinSlope(const Value& x) { return 1.0 / Sqrt(1.0 - Square(x)); }
Value AcosSlope(const Value& x) { return -1.0 / Sqrt(1.0 - Square(x)); }
Value AtanSlope(const Value& x) { return 1.0 / (Square(x) + 1.0); }
Value AsinhSlope(const Value& x) { return 1.0 / Sqrt(Square(x) + 1.0); }
Value AcoshSlope(const Value& x) { return 1.0 / Sqrt(Square(x) - 1.0); }
Value AtanhSlope(const Value& x) { return 1.0 / (1.0 - Square(x)); }

Values TanVjp(const VjpCall& call) { return {call.dy() * (Square(call.output(0)) + 1.0)}; }

GRADWIRE_OP(UnaryRow<fn::Sin>("Sin", 7, TimesOf<Cos>, kSaveInputs, {}));
GRADWIRE_OP(UnaryRow<fn::Cos>("Cos", 7, TimesOf<MinusSin>, kSaveInputs, {}));
GRADWIRE_OP(UnaryRow<fn::Tan>("Tan", 7, TanVjp, kSaveOutputs, {}));
GRADWIRE_OP(UnaryRow<fn::Asin>("Asin", 7, TimesOf<AsinSlope>, kSaveInputs, {}));
GRADWIRE_OP(UnaryRow<fn::Acos>("Acos", 7, TimesOf<AcosSlope>, kSaveInputs, {}));
GRADWIRE_OP(UnaryRow<fn::Atan>("Atan", 7, TimesOf<AtanSlope>, kSaveInputs, {}));
GRADWIRE_OP(UnaryRow<fn::Sinh>("Sinh", 9, TimesOf<Cosh>, kSaveInputs, {}));
GRADWIRE_OP(UnaryRow<fn::Cosh>("Cosh", 9, TimesOf<Sinh>, kSaveInputs, {}));
GRADWIRE_OP(UnaryRow<fn::Asinh>("Asinh", 9, TimesOf<AsinhSlope>, kSaveInputs, {}));
GRADWIRE_OP(UnaryRow<fn::Acosh>("Acosh", 9, TimesOf<AcoshSlope>, kSaveInputs, {}));
GRADWIRE_OP(UnaryRow<fn::Atanh>("Atanh", 9, TimesOf<AtanhSlope>, kSaveInputs, {}));

}  // namespace
}  // namespace gradwire
