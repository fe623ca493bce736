// Comparisons, IsNaN, IsInf: numbers to bool.
#include "ops/binary_functors.h"
#include "ops/elementwise.h"
#include "ops/unary_functors.h"

namespace gradwire {
namespace {

OpDef LegacyRow(std::string_view name, DTypeSet types) {
  return {.name = name,
          .inputs = 2,
          .types = types,
          .attributes = {"axis", "broadcast"},
          .decompose = DecomposeAxisBroadcast,
          .differentiable = false};
}

template <class F>
OpDef Row(std::string_view name, int since) {
  return Elementwise<BinaryLoop<F, NumberTypes>>({.name = name,
                                                  .since = since,
                                                  .inputs = 2,
                                                  .types = kNumbers,
                                                  .infer = BoolBroadcastOfInputs,
                                                  .differentiable = false});
}

using EqualTypes = TypeList<float, double, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t,
                            uint32_t, uint64_t, bool, std::string_view>;

GRADWIRE_OP(LegacyRow("Equal", kNumbers | kBool));
GRADWIRE_OP(LegacyRow("Less", kNumbers));
GRADWIRE_OP(LegacyRow("Greater", kNumbers));
GRADWIRE_OP(Elementwise<BinaryLoop<fn::Equal, EqualTypes>>({.name = "Equal",
                                                            .since = 7,
                                                            .inputs = 2,
                                                            .types = kNumbers | kBool |
                                                                     DType::kString,
                                                            .infer = BoolBroadcastOfInputs,
                                                            .differentiable = false}));
GRADWIRE_OP(Row<fn::Less>("Less", 7));
GRADWIRE_OP(Row<fn::Greater>("Greater", 7));
GRADWIRE_OP(Row<fn::LessOrEqual>("LessOrEqual", 12));
GRADWIRE_OP(Row<fn::GreaterOrEqual>("GreaterOrEqual", 12));
GRADWIRE_OP(Elementwise<UnaryLoop<fn::IsNaN, FloatTypes>>(
    {.name = "IsNaN", .since = 9, .infer = BoolLikeInput, .differentiable = false}));
GRADWIRE_OP(Elementwise<UnaryLoop<fn::IsInf, FloatTypes>>({.name = "IsInf",
                                                           .since = 10,
                                                           .attributes = {"detect_negative",
                                                                          "detect_positive"},
                                                           .infer = BoolLikeInput,
                                                           .differentiable = false}));

}  // namespace
}  // namespace gradwire
