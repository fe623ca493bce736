// What an array's shape says, as arrays: known during the trace, whatever the elements are.
#include <algorithm>

#include "graph/formula.h"

namespace gradwire {
namespace {

// Extents [start, end), both counted from the back where negative, and clamped.
Values DecomposeShape(const OpCall& call) {
  const int64_t rank = call.rank(0);
  const auto place = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const int64_t start = place(call.attributes().Int("start", 0));
  const int64_t end = std::max(start, place(call.attributes().Int("end", rank)));
  const std::span<const int64_t> dims = call.dims(0);
  return {IntVector(dims.subspan(static_cast<size_t>(start), static_cast<size_t>(end - start)))};
}

GRADWIRE_OP(
    {.name = "Shape", .types = kAnyType, .decompose = DecomposeShape, .differentiable = false});
GRADWIRE_OP({.name = "Shape",
             .since = 15,
             .types = kAnyType,
             .attributes = {"start", "end"},
             .decompose = DecomposeShape,
             .differentiable = false});

Values DecomposeSize(const OpCall& call) {
  const int64_t count[] = {call.spec(0).numel()};
  return {Reshape(IntVector(count), {})};
}

GRADWIRE_OP(
    {.name = "Size", .types = kAnyType, .decompose = DecomposeSize, .differentiable = false});

}  // namespace
}  // namespace gradwire
