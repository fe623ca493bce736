// ONNX's MaxUnpool: puts each element of X where MaxPool found it, in an array of zeros.
#include <fmt/format.h>

#include <vector>

#include "graph/formula.h"
#include "ops/window.h"

namespace gradwire {
namespace {

// The positions count in the array that the window's attributes lead to; a given output_shape only
// adds zeros after it, or cuts it off.
Values DecomposeMaxUnpool(const OpCall& call) {
  const Window window = CanonicalWindow(call.attributes(), KernelShape(call));
  const Value x = call.input(0);
  if (call.dims(1) != x.dims()) {
    throw Error(reason::kShapeMismatch, fmt::format("X is {}, I is {}: equal shapes are expected",
                                                    ToString(x.spec()), ToString(call.spec(1))));
  }
  const Dims inferred =
      WithChannels(x.dims()[0], x.dims()[1], window.InputOf(SpatialDims(x.dims())));
  CheckSpec({x.dtype(), inferred});
  const Value flat =
      Call("ScatterElements", {Full({NumElements(inferred)}, 0, x.dtype()),
                               Reshape(call.input(1), {x.numel()}), Reshape(x, {x.numel()})});
  const Value y = Reshape(flat, inferred);
  if (!call.has(2)) return {y};
  const std::vector<int64_t> wanted = call.Ints(2);
  if (wanted.size() != inferred.size()) {
    throw Error(reason::kShapeMismatch, fmt::format("output_shape is {}: {} numbers are expected",
                                                    ToString(wanted), inferred.size()));
  }
  std::vector<int64_t> pads(inferred.size(), 0);
  for (size_t i = 0; i < inferred.size(); ++i) pads.push_back(wanted[i] - inferred[i]);
  return {Call("gradwire::Pad", {y}, {{"pads", pads}})};
}

GRADWIRE_OP({.name = "MaxUnpool",
             .since = 9,
             .inputs = {2, 3},
             .attributes = {"kernel_shape", "pads", "strides"},
             .decompose = DecomposeMaxUnpool});

}  // namespace
}  // namespace gradwire
