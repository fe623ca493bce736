// Add, Sub, Mul, Div, Neg.
#include "graph/flops.h"
#include "graph/formula.h"
#include "ops/elementwise.h"
#include "ops/functors.h"

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

int64_t OnePerElement(const Node& node) { return node.output_slot(0)->spec.numel(); }

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

GRADWIRE_FLOPS("", "Add", OnePerElement);
GRADWIRE_FLOPS("", "Sub", OnePerElement);
GRADWIRE_FLOPS("", "Mul", OnePerElement);
GRADWIRE_FLOPS("", "Div", OnePerElement);
GRADWIRE_FLOPS("", "Neg", OnePerElement);

}  // namespace
}  // namespace gradwire
