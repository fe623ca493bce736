#include "ops/elementwise.h"

#include <fmt/format.h>

#include "graph/formula.h"

namespace gradwire {

Specs SameAsInput(const OpCall& call) { return {call.spec(0)}; }

Specs BroadcastOfInputs(const OpCall& call) {
  call.RequireSameType(1);
  return {{call.dtype(0), BroadcastDims(call.dims(0), call.dims(1))}};
}

Specs BoolBroadcastOfInputs(const OpCall& call) {
  call.RequireSameType(1);
  return {{DType::kBool, BroadcastDims(call.dims(0), call.dims(1))}};
}

Specs BoolLikeInput(const OpCall& call) { return {{DType::kBool, call.dims(0)}}; }

Values DecomposeAxisBroadcast(const OpCall& call) {
  const Value a = call.input(0);
  Value b = call.input(1);
  const int64_t axis = call.attributes().Int("axis", a.rank() - b.rank());
  const int64_t first = axis < 0 ? axis + a.rank() : axis;
  const bool broadcast = call.attributes().Int("broadcast", 0) != 0;
  bool fits = first >= 0 && first <= a.rank() - b.rank() && (broadcast || a.dims() == b.dims());
  Dims aligned = b.dims();
  if (fits) {
    aligned.resize(static_cast<size_t>(a.rank() - first), 1);
    fits = BroadcastDims(a.dims(), aligned) == a.dims();
  }
  if (!fits) {
    throw Error(reason::kShapeMismatch,
                fmt::format("B is {}, A is {}: B does not broadcast to A with broadcast={}, "
                            "axis={}",
                            ToString(b.spec()), ToString(a.spec()), broadcast, axis));
  }
  return {Call(call.op().name, {a, Reshape(b, aligned)})};
}

}  // namespace gradwire
