// Add, Sub, Mul, Div, Neg, and x s + t.
#include "graph/flops.h"
#include "graph/formula.h"
#include "ops/elementwise.h"
#include "ops/functors.h"
#include "ops/ternary_functors.h"

namespace gradwire {
namespace {

Values AddVjp(const VjpCall& call) { return {call.dy(), call.dy()}; }

Values SubVjp(const VjpCall& call) { return {call.dy(), call.needs(1) ? -call.dy() : Value()}; }

Values MulVjp(const VjpCall& call) {
  Values gradients(2);
  if (call.needs(0)) gradients[0] = call.dy() * call.input(1);
  if (call.needs(1)) gradients[1] = call.dy() * call.input(0);
  return gradients;
}

Values DivVjp(const VjpCall& call) {
  const Value b = call.input(1);
  Values gradients(2);
  if (call.needs(0)) gradients[0] = call.dy() / b;
  if (call.needs(1)) gradients[1] = -call.dy() * (call.input(0) / b / b);
  return gradients;
}

Values NegVjp(const VjpCall& call) { return {-call.dy()}; }

// Broadcasts s and t, along which a run steps alike where one is a constant for each channel.
template <class T>
void MulAddRun(const LoopCall& call) {
  const T* x = call.in<T>(0);
  const T* s = call.in<T>(1);
  const T* t = call.in<T>(2);
  T* y = call.out<T>();
  const auto [sx, ss, st] = call.steps;
  if (sx == 1 && ss == 1 && st == 1) {
#pragma omp simd
    for (int64_t i = 0; i < call.count; ++i) y[i] = fn::MulAdd()(x[i], s[i], t[i]);
  } else if (sx == 1 && ss == 0 && st == 0) {
    const T scale = *s;
    const T shift = *t;
#pragma omp simd
    for (int64_t i = 0; i < call.count; ++i) y[i] = fn::MulAdd()(x[i], scale, shift);
  } else {
    for (int64_t i = 0; i < call.count; ++i) y[i] = fn::MulAdd()(x[i * sx], s[i * ss], t[i * st]);
  }
}

Loop MulAddLoop(DType input, DType /*output*/) {
  Loop loop;
  Dispatch(FloatTypes{}, input, [&]<class T>() { loop = {MulAddRun<T>, kGrain}; });
  return loop;
}

Specs InferMulAdd(const OpCall& call) {
  call.RequireSameType(1);
  call.RequireSameType(2);
  return {{call.dtype(0), BroadcastDims(call.dims(0), BroadcastDims(call.dims(1), call.dims(2)))}};
}

Values DecomposeMulAdd(const OpCall& call) {
  return {call.input(0) * call.input(1) + call.input(2)};
}

int64_t OnePerElement(const Node& node) { return node.output_slot(0)->spec.numel(); }
int64_t TwoPerElement(const Node& node) { return 2 * OnePerElement(node); }

OpDef LegacyRow(std::string_view name) {
  return {.name = name,
          .inputs = 2,
          .types = kNumbers,
          .attributes = {"axis", "broadcast", "consumed_inputs"},
          .decompose = DecomposeAxisBroadcast};
}

template <class F>
OpDef Row(std::string_view name, Vjp vjp, Saves saves, Epilogue epilogue = Epilogue::kNone) {
  return Elementwise<BinaryLoop<F, NumberTypes>>({.name = name,
                                                  .since = 7,
                                                  .inputs = 2,
                                                  .types = kNumbers,
                                                  .infer = BroadcastOfInputs,
                                                  .vjp = vjp,
                                                  .saves = saves,
                                                  .epilogue = epilogue});
}

GRADWIRE_OP(LegacyRow("Add"));
GRADWIRE_OP(LegacyRow("Sub"));
GRADWIRE_OP(LegacyRow("Mul"));
GRADWIRE_OP(LegacyRow("Div"));
GRADWIRE_OP(Row<fn::Add>("Add", AddVjp, kSaveNothing, Epilogue::kBias));
GRADWIRE_OP(Row<fn::Sub>("Sub", SubVjp, kSaveNothing));
GRADWIRE_OP(Row<fn::Mul>("Mul", MulVjp, kSaveInputs));
GRADWIRE_OP(Row<fn::Div>("Div", DivVjp, kSaveInputs));
GRADWIRE_OP(Elementwise<UnaryLoop<fn::Neg, SignedTypes>>({.name = "Neg",
                                                          .types = kFloats | kSignedInts,
                                                          .attributes = {"consumed_inputs"},
                                                          .infer = SameAsInput,
                                                          .vjp = NegVjp}));

GRADWIRE_OP(Elementwise<MulAddLoop>({.name = "MulAdd",
                                     .domain = "gradwire",
                                     .inputs = 3,
                                     .infer = InferMulAdd,
                                     .decompose = DecomposeMulAdd}));

GRADWIRE_FLOPS("", "Add", OnePerElement);
GRADWIRE_FLOPS("", "Sub", OnePerElement);
GRADWIRE_FLOPS("", "Mul", OnePerElement);
GRADWIRE_FLOPS("", "Div", OnePerElement);
GRADWIRE_FLOPS("", "Neg", OnePerElement);
GRADWIRE_FLOPS("gradwire", "MulAdd", TwoPerElement);

}  // namespace
}  // namespace gradwire
