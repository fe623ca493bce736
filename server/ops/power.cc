// Pow, Mod.
#include "graph/formula.h"
#include "ops/binary_functors.h"
#include "ops/elementwise.h"
#include "ops/unary_functors.h"

namespace gradwire {
namespace {

// One exponent for all elements, of those that need no logarithm, as NumPy picks them out.
template <class T>
bool PowByScalar(const T* x, T exponent, T* y, int64_t n) {
  if (exponent == T(2)) {
    MapRun(x, y, n, fn::Square());
  } else if (exponent == T(0.5)) {
    MapRun(x, y, n, fn::Sqrt());
  } else if (exponent == T(1)) {
    MapRun(x, y, n, fn::Convert<T>());
  } else if (exponent == T(-1)) {
    MapRun(x, y, n, fn::Reciprocal());
  } else {
    return false;
  }
  return true;
}

template <class T>
void PowRun(const LoopCall& call) {
  const T* x = call.in<T>(0);
  const T* exponent = call.in<T>(1);
  T* y = call.out<T>();
  const int64_t distinct = call.steps[0] == 0 ? std::min<int64_t>(call.count, 1) : call.count;
  if (call.steps[1] == 0 && PowByScalar(x, *exponent, y, distinct)) {
    std::fill(y + distinct, y + call.count, *y);
    return;
  }
  MapRun(x, exponent, y, {call.steps[0], call.steps[1], call.count}, fn::Pow());
}

Loop PowLoop(DType input, DType output) {
  const Loop loop = BinaryLoop<fn::Pow, NumberTypes>(input, output);
  if (input == DType::kFloat32) return {PowRun<float>, loop.grain};
  if (input == DType::kFloat64) return {PowRun<double>, loop.grain};
  return loop;
}

// No gradient to x where the exponent is 0, none to the exponent where x is 0 and it is not
// negative; the untaken branches are kept finite, so that derivatives of these are too.
Values PowVjp(const VjpCall& call) {
  const Value x = call.input(0);
  const Value y = call.input(1);
  const Value one = Scalar(1.0, y.dtype());
  Values gradients(2);
  if (call.needs(0)) {
    gradients[0] = call.dy() * (y * Call("gradwire::Pow", {x, Where(Equal(y, 0.0), one, y) - 1.0}));
  }
  if (call.needs(1)) {
    const Value flat = And(Equal(x, 0.0), GreaterOrEqual(y, Scalar(0.0, y.dtype())));
    gradients[1] = call.dy() * (call.output(0) * Log(Where(flat, one, x)));
  }
  return gradients;
}

// The type to compute in: integers to a floating power are powers of float64.
DType PowType(DType x, DType y) {
  const auto wide = [](DType t) { return kHalves.Contains(t) ? DType::kFloat32 : t; };
  if (kInts.Contains(x)) return kInts.Contains(y) ? x : DType::kFloat64;
  return wide(y) == DType::kFloat64 ? DType::kFloat64 : wide(x);
}

Values PowDecompose(const OpCall& call) {
  const DType dtype = PowType(call.dtype(0), call.dtype(1));
  const Value y = Call("gradwire::Pow", {Cast(call.input(0), dtype), Cast(call.input(1), dtype)});
  return {Cast(y, call.dtype(0))};
}

Specs ModInfer(const OpCall& call) {
  if (kFloats.Contains(call.dtype(0)) && call.attributes().Int("fmod", 0) == 0) {
    throw Error(reason::kInvalidArgument, "floating elements need attribute fmod=1");
  }
  return BroadcastOfInputs(call);
}

// a - n b with n constant around almost every point.
Values ModVjp(const VjpCall& call) {
  const Value b = call.input(1);
  Values gradients{call.dy(), Value()};
  if (call.needs(1)) {
    gradients[1] = -call.dy() * Call("Round", {(call.input(0) - call.output(0)) / b});
  }
  return gradients;
}

GRADWIRE_OP({.name = "Pow",
             .inputs = 2,
             .attributes = {"axis", "broadcast"},
             .decompose = DecomposeAxisBroadcast});
GRADWIRE_OP({.name = "Pow",
             .since = 7,
             .inputs = 2,
             .types = kNumbers | kHalves,
             .decompose = PowDecompose});
GRADWIRE_OP(Elementwise<PowLoop>({.name = "Pow",
                                  .domain = "gradwire",
                                  .inputs = 2,
                                  .types = kNumbers,
                                  .infer = BroadcastOfInputs,
                                  .vjp = PowVjp,
                                  .saves = {~0u, ~0u}}));
GRADWIRE_OP(Elementwise<BinaryLoop<fn::Mod, NumberTypes>>({.name = "Mod",
                                                           .since = 10,
                                                           .inputs = 2,
                                                           .types = kNumbers,
                                                           .attributes = {"fmod"},
                                                           .infer = ModInfer,
                                                           .vjp = ModVjp,
                                                           .saves = {~0u, ~0u}}));

}  // namespace
}  // namespace gradwire
