// Activations made of straight lines and exponentials: Relu, LeakyRelu, PRelu, ThresholdedRelu,
// Elu, Selu, Celu, HardSigmoid, HardSwish, Shrink, Softsign.
#include <fmt/format.h>

#include "graph/formula.h"
#include "ops/binary_functors.h"
#include "ops/elementwise.h"
#include "ops/unary_functors.h"

namespace gradwire {
namespace {

Value ReluGrad(const Value& dy, const Value& y) { return Call("gradwire::ReluGrad", {dy, y}); }

Values ReluVjp(const VjpCall& call) { return {ReluGrad(call.dy(), call.output(0))}; }

Values ReluGradVjp(const VjpCall& call) { return {ReluGrad(call.dy(), call.input(1)), Value()}; }

Values LeakyReluVjp(const VjpCall& call) {
  const double alpha = call.attributes().Float("alpha", 0.01f);
  return {Where(Greater(call.input(0), 0.0), call.dy(), call.dy() * alpha)};
}

Specs PReluInfer(const OpCall& call) {
  call.RequireSameType(1);
  if (BroadcastDims(call.dims(0), call.dims(1)) != call.dims(0)) {
    throw Error(reason::kShapeMismatch,
                fmt::format("slope is {}, X is {}: slope does not "
                            "broadcast to X",
                            ToString(call.spec(1)), ToString(call.spec(0))));
  }
  return {call.spec(0)};
}

Values PReluVjp(const VjpCall& call) {
  const Value positive = Greater(call.input(0), 0.0);
  Values gradients(2);
  if (call.needs(0)) gradients[0] = Where(positive, call.dy(), call.dy() * call.input(1));
  if (call.needs(1)) {
    gradients[1] = Where(positive, Scalar(0.0, call.dy().dtype()), call.dy() * call.input(0));
  }
  return gradients;
}

// Before opset 7 one slope for each channel, along axis 1, or one for all.
Values PReluByChannel(const OpCall& call) {
  const Value slope = call.input(1);
  Dims dims(call.rank(0) > 1 ? static_cast<size_t>(call.rank(0) - 1) : 1, 1);
  dims[0] = slope.numel();
  const bool one = slope.numel() == 1;
  if (!one && (call.rank(0) < 2 || slope.numel() != call.dims(0)[1])) {
    throw Error(reason::kShapeMismatch,
                fmt::format("slope is {}, X is {}: expected a slope for each channel of axis 1",
                            ToString(slope.spec()), ToString(call.spec(0))));
  }
  return {Call("PRelu", {call.input(0), Reshape(slope, one ? Dims{} : dims)})};
}

Values ThresholdedReluDecompose(const OpCall& call) {
  const Value x = call.input(0);
  const double alpha = call.attributes().Float("alpha", 1.0);
  return {Where(Greater(x, alpha), x, Scalar(0.0, x.dtype()))};
}

// The exponent is held at 0 where it is not used, so that no infinity meets a zero. The slope's own
// derivative at 0 is that of the positive side, 0, as PyTorch has it.
Values EluVjp(const VjpCall& call) {
  const Value x = call.input(0);
  const Value slope = Exp(Where(Less(x, 0.0), x, Scalar(0.0, x.dtype())));
  return {Where(Greater(x, 0.0), call.dy(),
                call.dy() * (slope * call.attributes().Float("alpha", 1.0)))};
}

Value Elu(const Value& x, double alpha) { return Call("Elu", {x}, {{"alpha", alpha}}); }

// Opset 1 and those after it have different default constants.
template <bool kOpset1>
Values SeluDecompose(const OpCall& call) {
  const double alpha =
      call.attributes().Float("alpha", kOpset1 ? 1.6732f : 1.67326319217681884765625);
  const double gamma =
      call.attributes().Float("gamma", kOpset1 ? 1.0507f : 1.05070102214813232421875);
  return {Elu(call.input(0), alpha) * gamma};
}

Values CeluDecompose(const OpCall& call) {
  const double alpha = call.attributes().Float("alpha", 1.0);
  return {Elu(call.input(0) / alpha, 1.0) * alpha};
}

Values HardSigmoidVjp(const VjpCall& call) {
  const Value y = call.output(0);
  const double alpha = call.attributes().Float("alpha", 0.2f);
  return {
      Where(And(Greater(y, 0.0), Less(y, 1.0)), call.dy() * alpha, Scalar(0.0, call.dy().dtype()))};
}

// x max(0, min(1, x/6 + 1/2)), in pieces: at the ends of the middle one the slopes are the outer
// ones'. The middle piece is finite where it is not used. The lower one is a product, as in ONNX's
// definition and in PyTorch: NaN at -infinity.
Values HardSwishDecompose(const OpCall& call) {
  const Value x = call.input(0);
  const Value low = Scalar(-3.0, x.dtype());
  const Value high = Scalar(3.0, x.dtype());
  const Value inner = Call("Clip", {x, low, high});
  const Value risen = Where(Less(x, high), inner * ((inner + 3.0) / 6.0), x);
  return {Where(LessOrEqual(x, low), x * 0.0, risen)};
}

Values ShrinkVjp(const VjpCall& call) {
  const double lambd = call.attributes().Float("lambd", 0.5);
  const Value x = call.input(0);
  return {Where(Or(Greater(x, lambd), Less(x, -lambd)), call.dy(), Scalar(0.0, x.dtype()))};
}

Values SoftsignDecompose(const OpCall& call) {
  const Value x = call.input(0);
  return {x / (Abs(x) + 1.0)};
}

GRADWIRE_OP(Elementwise<UnaryLoop<fn::Relu, SignedTypes>>({.name = "Relu",
                                                           .types = kFloats | kSignedInts,
                                                           .attributes = {"consumed_inputs"},
                                                           .infer = SameAsInput,
                                                           .vjp = ReluVjp,
                                                           .saves = kSaveOutputs,
                                                           .epilogue = Epilogue::kRelu}));
GRADWIRE_OP(Elementwise<BinaryLoop<fn::ReluGrad, FloatTypes>>({.name = "ReluGrad",
                                                               .domain = "gradwire",
                                                               .inputs = 2,
                                                               .infer = BroadcastOfInputs,
                                                               .vjp = ReluGradVjp,
                                                               .saves = {2u, 0}}));
GRADWIRE_OP(UnaryRow<fn::LeakyRelu>("LeakyRelu", 1, LeakyReluVjp, kSaveInputs,
                                    {"alpha", "consumed_inputs"}));
GRADWIRE_OP(
    {.name = "PRelu", .inputs = 2, .attributes = {"consumed_inputs"}, .decompose = PReluByChannel});
GRADWIRE_OP(Elementwise<BinaryLoop<fn::PRelu, NumberTypes>>({.name = "PRelu",
                                                             .since = 7,
                                                             .inputs = 2,
                                                             .types = kNumbers,
                                                             .infer = PReluInfer,
                                                             .vjp = PReluVjp,
                                                             .saves = kSaveInputs}));
GRADWIRE_OP({.name = "ThresholdedRelu",
             .since = 10,
             .attributes = {"alpha"},
             .decompose = ThresholdedReluDecompose});
GRADWIRE_OP(UnaryRow<fn::Elu>("Elu", 1, EluVjp, kSaveInputs, {"alpha", "consumed_inputs"}));
GRADWIRE_OP({.name = "Selu",
             .attributes = {"alpha", "gamma", "consumed_inputs"},
             .decompose = SeluDecompose<true>});
GRADWIRE_OP({.name = "Selu",
             .since = 6,
             .attributes = {"alpha", "gamma"},
             .decompose = SeluDecompose<false>});
GRADWIRE_OP({.name = "Celu", .since = 12, .attributes = {"alpha"}, .decompose = CeluDecompose});
GRADWIRE_OP(UnaryRow<fn::HardSigmoid>("HardSigmoid", 1, HardSigmoidVjp, kSaveOutputs,
                                      {"alpha", "beta", "consumed_inputs"}));
GRADWIRE_OP({.name = "HardSwish", .since = 14, .decompose = HardSwishDecompose});
GRADWIRE_OP(Elementwise<UnaryLoop<fn::Shrink, NumberTypes>>({.name = "Shrink",
                                                             .since = 9,
                                                             .types = kNumbers,
                                                             .attributes = {"bias", "lambd"},
                                                             .infer = SameAsInput,
                                                             .vjp = ShrinkVjp,
                                                             .saves = kSaveInputs}));
GRADWIRE_OP({.name = "Softsign", .decompose = SoftsignDecompose});

}  // namespace
}  // namespace gradwire
