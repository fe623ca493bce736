// And, Or, Xor, Not of bools; the bitwise operators of integers.
#include <fmt/format.h>

#include "ops/binary_functors.h"
#include "ops/elementwise.h"
#include "ops/unary_functors.h"

namespace gradwire {
namespace {

OpDef LegacyRow(std::string_view name) {
  return {.name = name,
          .inputs = 2,
          .types = kBool,
          .attributes = {"axis", "broadcast"},
          .decompose = DecomposeAxisBroadcast,
          .differentiable = false};
}

template <class F, class Types>
OpDef Row(std::string_view name, int since, DTypeSet types) {
  return {.name = name,
          .since = since,
          .inputs = 2,
          .types = types,
          .infer = BroadcastOfInputs,
          .cpu = BinaryKernel<F, Types>,
          .differentiable = false,
          .in_place = true};
}

Specs BitShiftInfer(const OpCall& call) {
  const std::string& direction = call.attributes().String("direction");
  if (direction != "LEFT" && direction != "RIGHT") {
    throw Error(reason::kInvalidArgument,
                fmt::format("direction is '{}', expected LEFT or RIGHT", direction));
  }
  return BroadcastOfInputs(call);
}

using UnsignedTypes = TypeList<uint8_t, uint16_t, uint32_t, uint64_t>;

GRADWIRE_OP(LegacyRow("And"));
GRADWIRE_OP(LegacyRow("Or"));
GRADWIRE_OP(LegacyRow("Xor"));
GRADWIRE_OP(Row<fn::BitwiseAnd, TypeList<bool>>("And", 7, kBool));
GRADWIRE_OP(Row<fn::BitwiseOr, TypeList<bool>>("Or", 7, kBool));
GRADWIRE_OP(Row<fn::BitwiseXor, TypeList<bool>>("Xor", 7, kBool));
GRADWIRE_OP({.name = "Not",
             .types = kBool,
             .infer = SameAsInput,
             .cpu = UnaryKernel<fn::Not, TypeList<bool>>,
             .differentiable = false,
             .in_place = true});
GRADWIRE_OP(Row<fn::BitwiseAnd, IntTypes>("BitwiseAnd", 18, kInts));
GRADWIRE_OP(Row<fn::BitwiseOr, IntTypes>("BitwiseOr", 18, kInts));
GRADWIRE_OP(Row<fn::BitwiseXor, IntTypes>("BitwiseXor", 18, kInts));
GRADWIRE_OP({.name = "BitwiseNot",
             .since = 18,
             .types = kInts,
             .infer = SameAsInput,
             .cpu = UnaryKernel<fn::BitwiseNot, IntTypes>,
             .differentiable = false,
             .in_place = true});
GRADWIRE_OP({.name = "BitShift",
             .since = 11,
             .inputs = 2,
             .types = kUnsignedInts,
             .attributes = {"direction"},
             .infer = BitShiftInfer,
             .cpu = BinaryKernel<fn::BitShift, UnsignedTypes>,
             .differentiable = false,
             .in_place = true});

}  // namespace
}  // namespace gradwire
