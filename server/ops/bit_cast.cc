// BitCast: the same bits read as elements of another type of the same width.
#include <fmt/format.h>

#include "core/small_types.h"
#include "graph/formula.h"
#include "graph/op_call.h"

namespace gradwire {
namespace {

Specs InferBitCast(const OpCall& call) {
  const DType to = DTypeFromCode(static_cast<int>(call.attributes().Int("to")));
  if (BitWidth(to) != BitWidth(call.dtype(0))) {
    throw Error(reason::kDtypeMismatch, fmt::format("elements of {} and {} differ in width",
                                                    Name(call.dtype(0)), Name(to)));
  }
  return {{to, call.dims(0)}};
}

// A bool's byte is 0 or 1, whatever it was made of.
Values DecomposeBitCast(const OpCall& call) {
  const bool to_bool = call.attributes().Int("to") == static_cast<int64_t>(DType::kBool);
  if (!to_bool || call.dtype(0) == DType::kBool) {
    return {Call("gradwire::BitCast", {call.input(0)}, call.attributes())};
  }
  const Value bits =
      Call("gradwire::BitCast", {call.input(0)}, {{"to", static_cast<int64_t>(DType::kUint8)}});
  return {Cast(bits, DType::kBool)};
}

GRADWIRE_OP({.name = "BitCast",
             .domain = "gradwire",
             .types = kReal,
             .attributes = {"to"},
             .infer = InferBitCast,
             .differentiable = false,
             .alias = true});
GRADWIRE_OP({.name = "BitCast",
             .since = 26,
             .types = kReal,
             .attributes = {"to"},
             .decompose = DecomposeBitCast,
             .differentiable = false});

}  // namespace
}  // namespace gradwire
