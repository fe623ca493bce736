// Abs, Sign, Floor, Ceil, Round: linear between their kinks and jumps.
#include "graph/formula.h"
#include "ops/elementwise.h"
#include "ops/unary_functors.h"

namespace gradwire {
namespace {

Values AbsVjp(const VjpCall& call) { return {call.dy() * Sign(call.input(0))}; }

Values FlatVjp(const VjpCall& call) { return {ZerosLike(call.input_spec(0))}; }

GRADWIRE_OP(Elementwise<UnaryLoop<fn::Abs, NumberTypes>>({.name = "Abs",
                                                          .types = kNumbers,
                                                          .attributes = {"consumed_inputs"},
                                                          .infer = SameAsInput,
                                                          .vjp = AbsVjp,
                                                          .saves = kSaveInputs}));
GRADWIRE_OP(Elementwise<UnaryLoop<fn::Sign, NumberTypes>>(
    {.name = "Sign", .since = 9, .types = kNumbers, .infer = SameAsInput, .vjp = FlatVjp}));
GRADWIRE_OP(UnaryRow<fn::Floor>("Floor", 1, FlatVjp, kSaveNothing));
GRADWIRE_OP(UnaryRow<fn::Ceil>("Ceil", 1, FlatVjp, kSaveNothing));
GRADWIRE_OP(UnaryRow<fn::Round>("Round", 11, FlatVjp, kSaveNothing, {}));

}  // namespace
}  // namespace gradwire
