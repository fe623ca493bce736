// Smooth activations: Tanh, Sigmoid, Softplus, Gelu, Mish, Swish.
#include <fmt/format.h>

#include <numbers>

#include "graph/formula.h"
#include "ops/binary_functors.h"
#include "ops/elementwise.h"
#include "ops/unary_functors.h"

namespace gradwire {
namespace {

Value TanhGrad(const Value& dy, const Value& y) { return Call("gradwire::TanhGrad", {dy, y}); }
Value SigmoidGrad(const Value& dy, const Value& y) {
  return Call("gradwire::SigmoidGrad", {dy, y});
}
Value GeluGrad(const Value& dy, const Value& x) { return Call("gradwire::GeluGrad", {dy, x}); }

Values TanhVjp(const VjpCall& call) { return {TanhGrad(call.dy(), call.output(0))}; }

Values TanhGradVjp(const VjpCall& call) {
  const Value y = call.input(1);
  Values gradients{TanhGrad(call.dy(), y), Value()};
  if (call.needs(1)) gradients[1] = call.dy() * call.input(0) * y * -2.0;
  return gradients;
}

Values SigmoidVjp(const VjpCall& call) { return {SigmoidGrad(call.dy(), call.output(0))}; }

Values SigmoidGradVjp(const VjpCall& call) {
  const Value y = call.input(1);
  Values gradients{SigmoidGrad(call.dy(), y), Value()};
  if (call.needs(1)) gradients[1] = call.dy() * call.input(0) * (1.0 - y * 2.0);
  return gradients;
}

Values SoftplusVjp(const VjpCall& call) { return {call.dy() * Sigmoid(call.input(0))}; }

Values GeluErfVjp(const VjpCall& call) { return {GeluGrad(call.dy(), call.input(0))}; }

// The second derivative is phi(x) (2 - x^2), phi the normal density.
Values GeluGradVjp(const VjpCall& call) {
  const Value x = call.input(1);
  Values gradients{GeluGrad(call.dy(), x), Value()};
  if (call.needs(1)) {
    const Value square = Square(x);
    const double scale = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
    gradients[1] = call.dy() * call.input(0) * (Exp(square * -0.5) * (2.0 - square) * scale);
  }
  return gradients;
}

// 0.5 x (1 + tanh(u)) = x sigmoid(2 u), with u = sqrt(2 / pi) (x + 0.044715 x^3).
Values DecomposeGeluTanh(const OpCall& call) {
  const Value x = call.input(0);
  const double scale = 2.0 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
  return {x * Sigmoid(x * (Square(x) * (0.044715 * scale) + scale))};
}

Values GeluDecompose(const OpCall& call) {
  const std::string approximate = call.attributes().String("approximate", "none");
  if (approximate == "tanh") return {Call("gradwire::GeluTanh", {call.input(0)})};
  if (approximate == "none") return {Call("gradwire::GeluErf", {call.input(0)})};
  throw Error(reason::kInvalidArgument,
              fmt::format("approximate is '{}', expected none or tanh", approximate));
}

Values MishDecompose(const OpCall& call) {
  const Value x = call.input(0);
  return {x * Tanh(Call("Softplus", {x}))};
}

Values SwishDecompose(const OpCall& call) {
  const Value x = call.input(0);
  const double alpha = call.attributes().Float("alpha", 1.0);
  return {x * Sigmoid(alpha == 1.0 ? x : x * alpha)};
}

// The derivative as an operator of dy and what the forward call saved.
template <class F>
OpDef GradRow(std::string_view name, Vjp vjp) {
  return Elementwise<BinaryLoop<F, FloatTypes>>({.name = name,
                                                 .domain = "gradwire",
                                                 .inputs = 2,
                                                 .infer = BroadcastOfInputs,
                                                 .vjp = vjp,
                                                 .saves = kSaveInputs});
}

GRADWIRE_OP(UnaryRow<fn::Tanh>("Tanh", 1, TanhVjp, kSaveOutputs));
GRADWIRE_OP(GradRow<fn::TanhGrad>("TanhGrad", TanhGradVjp));
GRADWIRE_OP(UnaryRow<fn::Sigmoid>("Sigmoid", 1, SigmoidVjp, kSaveOutputs));
GRADWIRE_OP(GradRow<fn::SigmoidGrad>("SigmoidGrad", SigmoidGradVjp));
GRADWIRE_OP(UnaryRow<fn::Softplus>("Softplus", 1, SoftplusVjp, kSaveInputs, {}));
GRADWIRE_OP(Elementwise<UnaryLoop<fn::Gelu, FloatTypes>>({.name = "GeluErf",
                                                          .domain = "gradwire",
                                                          .infer = SameAsInput,
                                                          .vjp = GeluErfVjp,
                                                          .saves = kSaveInputs}));
GRADWIRE_OP(Elementwise<UnaryLoop<fn::GeluTanh, FloatTypes>>({.name = "GeluTanh",
                                                              .domain = "gradwire",
                                                              .infer = SameAsInput,
                                                              .decompose = DecomposeGeluTanh,
                                                              .epilogue = Epilogue::kGelu}));
GRADWIRE_OP(GradRow<fn::GeluGrad>("GeluGrad", GeluGradVjp));
GRADWIRE_OP(
    {.name = "Gelu", .since = 20, .attributes = {"approximate"}, .decompose = GeluDecompose});
GRADWIRE_OP({.name = "Mish", .since = 18, .decompose = MishDecompose});
GRADWIRE_OP({.name = "Swish", .since = 24, .attributes = {"alpha"}, .decompose = SwishDecompose});

}  // namespace
}  // namespace gradwire
