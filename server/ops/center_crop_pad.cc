// CenterCropPad: a Pad, of which some pads may be negative.
#include <fmt/format.h>

#include "graph/formula.h"

namespace gradwire {
namespace {

Values DecomposeCenterCropPad(const OpCall& call) {
  const auto rank = static_cast<size_t>(call.rank(0));
  const std::vector<int64_t> all = ToVector(AllAxes(call.rank(0)));
  const std::vector<int64_t> axes = call.attributes().Ints("axes", all);
  NormalizeAxes(axes, call.rank(0));  // throws where one comes twice
  const std::vector<int64_t> shape = call.Ints(1);
  if (shape.size() != axes.size()) {
    throw Error(reason::kInvalidArgument,
                fmt::format("shape {} is given for axes {}", ToString(shape), ToString(axes)));
  }
  std::vector<int64_t> pads(2 * rank, 0);
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(NormalizeAxis(axes[i], call.rank(0)));
    if (shape[i] < 0) {
      throw Error(reason::kInvalidArgument, fmt::format("extent {} is negative", shape[i]));
    }
    const int64_t added = shape[i] - call.dims(0)[axis];
    pads[axis] = added / 2;
    pads[rank + axis] = added - added / 2;
  }
  return {Call("gradwire::Pad", {call.input(0)}, {{"pads", std::move(pads)}})};
}

GRADWIRE_OP({.name = "CenterCropPad",
             .since = 18,
             .inputs = 2,
             .types = kMoved,
             .attributes = {"axes"},
             .decompose = DecomposeCenterCropPad});

}  // namespace
}  // namespace gradwire
