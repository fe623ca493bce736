// BitCast: the same bits read as elements of another type of the same width.
#include <fmt/format.h>

#include "core/small_types.h"
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

GRADWIRE_OP({.name = "BitCast",
             .since = 26,
             .types = kReal,
             .attributes = {"to"},
             .infer = InferBitCast,
             .differentiable = false,
             .alias = true});

}  // namespace
}  // namespace gradwire
