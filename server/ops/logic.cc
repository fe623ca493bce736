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
  return Elementwise<BinaryLoop<F, Types>>({.name = name,
                                            .since = since,
                                            .inputs = 2,
                                            .types = types,
                                            .infer = BroadcastOfInputs,
                                            .differentiable = false});
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
GRADWIRE_OP(Elementwise<UnaryLoop<fn::Not, TypeList<bool>>>(
    {.name = "Not", .types = kBool, .infer = SameAsInput, .differentiable = false}));
GRADWIRE_OP(Row<fn::BitwiseAnd, IntTypes>("BitwiseAnd", 18, kInts));
GRADWIRE_OP(Row<fn::BitwiseOr, IntTypes>("BitwiseOr", 18, kInts));
GRADWIRE_OP(Row<fn::BitwiseXor, IntTypes>("BitwiseXor", 18, kInts));
GRADWIRE_OP(Elementwise<UnaryLoop<fn::BitwiseNot, IntTypes>>({.name = "BitwiseNot",
                                                              .since = 18,
                                                              .types = kInts,
                                                              .infer = SameAsInput,
                                                              .differentiable = false}));
GRADWIRE_OP(Elementwise<BinaryLoop<fn::BitShift, UnsignedTypes>>({.name = "BitShift",
                                                                  .since = 11,
                                                                  .inputs = 2,
                                                                  .types = kUnsignedInts,
                                                                  .attributes = {"direction"},
                                                                  .infer = BitShiftInfer,
                                                                  .differentiable = false}));

}  // namespace
}  // namespace gradwire
