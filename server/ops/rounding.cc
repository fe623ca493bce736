// Abs, Sign, Floor, Ceil, Round: linear between their kinks and jumps.
#include "graph/formula.h"
#include "ops/elementwise.h"
#include "ops/unary_functors.h"

namespace gradwire {
namespace {

Values AbsVjp(const VjpCall& call) { return {call.dy() * Sign(call.input(0))}; }

Values FlatVjp(const VjpCall& call) { return {ZerosLike(call.input_spec(0))}; }

GRADWIRE_OP({.name = "Abs",
             .types = kNumbers,
             .attributes = {"consumed_inputs"},
             .infer = SameAsInput,
             .cpu = UnaryKernel<fn::Abs, NumberTypes>,
             .vjp = AbsVjp,
             .saves = kSaveInputs,
             .in_place = true});
GRADWIRE_OP({.name = "Sign",
             .since = 9,
             .types = kNumbers,
             .infer = SameAsInput,
             .cpu = UnaryKernel<fn::Sign, NumberTypes>,
             .vjp = FlatVjp,
             .in_place = true});
GRADWIRE_OP(UnaryRow<fn::Floor>("Floor", 1, FlatVjp, kSaveNothing));
GRADWIRE_OP(UnaryRow<fn::Ceil>("Ceil", 1, FlatVjp, kSaveNothing));
GRADWIRE_OP(UnaryRow<fn::Round>("Round", 11, FlatVjp, kSaveNothing, {}));

}  // namespace
}  // namespace gradwire
