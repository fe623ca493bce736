// Max, Min, Clip; Sum and Mean of several arrays.
#include <fmt/format.h>

#include "graph/formula.h"
#include "ops/binary_functors.h"
#include "ops/elementwise.h"
#include "ops/ternary_functors.h"

namespace gradwire {
namespace {

// Folds the inputs, of one type, by a binary operator.
Value Fold(const OpCall& call, std::string_view name) {
  if (call.num_inputs() == 1) return Call("Identity", {call.input(0)});
  Value result = call.input(0);
  for (size_t i = 1; i < call.num_inputs(); ++i) {
    if (!call.has(i)) {
      throw Error(reason::kInvalidArgument, fmt::format("input {} is left out", i));
    }
    call.RequireSameType(i);
    result = Call(name, {result, call.input(i)});
  }
  return result;
}

Values MaxDecompose(const OpCall& call) { return {Fold(call, "gradwire::Maximum")}; }
Values MinDecompose(const OpCall& call) { return {Fold(call, "gradwire::Minimum")}; }
Values SumDecompose(const OpCall& call) { return {Fold(call, "Add")}; }
Values MeanDecompose(const OpCall& call) {
  return {Fold(call, "Add") / static_cast<double>(call.num_inputs())};
}

// The gradient goes to the greater (smaller) one, half to each where they are equal.
template <Value (*kWins)(const Value&, const Value&)>
Values ExtremumVjp(const VjpCall& call) {
  const Value& dy = call.dy();
  const Value a = call.input(0);
  const Value b = call.input(1);
  const Value tie = Where(Equal(a, b), dy * 0.5, Scalar(0.0, dy.dtype()));
  Values gradients(2);
  if (call.needs(0)) gradients[0] = Where(kWins(a, b), dy, tie);
  if (call.needs(1)) gradients[1] = Where(kWins(b, a), dy, tie);
  return gradients;
}

Specs ClipInfer(const OpCall& call) {
  for (size_t i = 1; i < call.num_inputs(); ++i) {
    if (!call.has(i)) continue;
    call.RequireSameType(i);
    if (call.spec(i).numel() != 1) {
      throw Error(reason::kShapeMismatch,
                  fmt::format("{} is {}, expected a scalar", i == 1 ? "min" : "max",
                              ToString(call.spec(i))));
    }
  }
  return {call.spec(0)};
}

template <class T>
void ClipRun(const LoopCall& call) {
  using Limits = std::numeric_limits<T>;
  const T low = call.inputs[1] != nullptr
                    ? *call.in<T>(1)
                    : (Limits::has_infinity ? -Limits::infinity() : Limits::lowest());
  const T high = call.inputs[2] != nullptr
                     ? *call.in<T>(2)
                     : (Limits::has_infinity ? Limits::infinity() : Limits::max());
  MapRun(call.in<T>(0), call.out<T>(), call.count, [=](T x) { return fn::Clip()(x, low, high); });
}

Loop ClipLoop(DType input, DType /*output*/) {
  Loop loop;
  Dispatch(NumberTypes{}, input, [&]<class T>() { loop = {ClipRun<T>, kGrain}; });
  return loop;
}

// How much of the gradient x gets where it and a bound lie so: all inside, at the bound none, or
// half where the bound is differentiated itself.
Value ShareOfX(const Value& inside, const Value& at_bound, const Value& bound) {
  const DType dtype = bound.dtype();
  const Value share = Mask(inside, dtype);
  return bound.requires_grad() ? share + Mask(at_bound, dtype) * 0.5 : share;
}

// max(x, low) and then min(., high). A bound gets what it keeps from x, but of a NaN.
Values ClipVjp(const VjpCall& call) {
  const Value x = call.input(0);
  const Value low = call.has(1) ? call.input(1) : Value();
  const Value high = call.has(2) ? call.input(2) : Value();
  const Value raised = low ? Call("gradwire::Maximum", {x, low}) : x;
  const Value kept = Mask(Not(Call("IsNaN", {x})), x.dtype());
  const auto total = [&](const Value& gradient, const Value& bound) {
    return Reshape(SumTo(gradient * kept, {}), bound.dims());
  };
  Values gradients(call.num_inputs());
  Value dy = call.dy();
  if (high) {
    const Value share = ShareOfX(Less(raised, high), Equal(raised, high), high);
    if (call.needs(2)) gradients[2] = total(dy * (1.0 - share), high);
    dy = dy * share;
  }
  if (low) {
    const Value share = ShareOfX(Greater(x, low), Equal(x, low), low);
    if (call.needs(1)) gradients[1] = total(dy * (1.0 - share), low);
    dy = dy * share;
  }
  if (call.needs(0)) gradients[0] = dy;
  return gradients;
}

Values ClipByAttributes(const OpCall& call) {
  const auto bound = [&](std::string_view name) {
    return call.attributes().Has(name) ? Scalar(call.attributes().Float(name), call.dtype(0))
                                       : Value();
  };
  return {Call("Clip", {call.input(0), bound("min"), bound("max")})};
}

OpDef FoldRow(std::string_view name, DTypeSet types, Decompose decompose) {
  return {.name = name,
          .inputs = {1, kVariadic},
          .types = types,
          .attributes = {"consumed_inputs"},
          .decompose = decompose};
}

template <class F>
OpDef ExtremumRow(std::string_view name, Vjp vjp) {
  return Elementwise<BinaryLoop<F, NumberTypes>>({.name = name,
                                                  .domain = "gradwire",
                                                  .inputs = 2,
                                                  .types = kNumbers,
                                                  .infer = BroadcastOfInputs,
                                                  .vjp = vjp,
                                                  .saves = kSaveInputs});
}

GRADWIRE_OP(FoldRow("Max", kNumbers, MaxDecompose));
GRADWIRE_OP(FoldRow("Min", kNumbers, MinDecompose));
GRADWIRE_OP(FoldRow("Sum", kFloats, SumDecompose));
GRADWIRE_OP(FoldRow("Mean", kFloats, MeanDecompose));
GRADWIRE_OP(ExtremumRow<fn::Maximum>("Maximum", ExtremumVjp<Greater>));
GRADWIRE_OP(ExtremumRow<fn::Minimum>("Minimum", ExtremumVjp<Less>));
GRADWIRE_OP({.name = "Clip",
             .attributes = {"min", "max", "consumed_inputs"},
             .decompose = ClipByAttributes});
GRADWIRE_OP(Elementwise<ClipLoop>({.name = "Clip",
                                   .since = 11,
                                   .inputs = {1, 3},
                                   .types = kNumbers,
                                   .infer = ClipInfer,
                                   .vjp = ClipVjp,
                                   .saves = kSaveInputs}));

}  // namespace
}  // namespace gradwire
