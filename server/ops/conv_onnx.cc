// ONNX's Conv and ConvTranspose, in the three convolutions of conv.cc.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "graph/formula.h"
#include "ops/window.h"

namespace gradwire {
namespace {

Attributes CanonicalAttributes(const Window& window, const OpCall& call) {
  Attributes attributes = window.ToAttributes();
  attributes.Set("group", call.attributes().Int("group", 1));
  return attributes;
}

// The kernel's extents: the weights', which kernel_shape repeats.
Dims KernelOf(const OpCall& call) {
  if (call.rank(0) < 3 || call.rank(1) != call.rank(0)) {
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, W is {}: equal ranks of 3 or more are expected",
                            ToString(call.spec(0)), ToString(call.spec(1))));
  }
  Dims kernel = SpatialDims(call.dims(1));
  if (call.attributes().Has("kernel_shape")) {
    const std::vector<int64_t>& given = call.attributes().Ints("kernel_shape");
    if (!std::equal(given.begin(), given.end(), kernel.begin(), kernel.end())) {
      throw Error(reason::kShapeMismatch, fmt::format("kernel_shape is {}, W is {}",
                                                      ToString(given), ToString(call.spec(1))));
    }
  }
  return kernel;
}

Values DecomposeConv(const OpCall& call) {
  const Window window = OnnxWindow(call.attributes(), KernelOf(call), SpatialDims(call.dims(0)));
  Values inputs = {call.input(0), call.input(1)};
  if (call.has(2)) inputs.push_back(call.input(2));
  return {Call("gradwire::Conv", std::move(inputs), CanonicalAttributes(window, call))};
}

// ConvTranspose is the input's gradient of a convolution whose output is X. This is that
// convolution's window: the given pads, or those for which Y has the wanted shape.
Window TransposedWindow(const OpCall& call) {
  const Attributes& attributes = call.attributes();
  const Dims input = SpatialDims(call.dims(0));
  const size_t rank = input.size();
  Window window = CanonicalWindow(attributes, KernelOf(call));
  const std::string auto_pad = attributes.String("auto_pad", "NOTSET");
  const bool upper = auto_pad == "SAME_UPPER";
  const bool same = upper || auto_pad == "SAME_LOWER";
  if (auto_pad == "VALID") window.begin = window.end = Dims(rank, 0);
  const auto extra = attributes.Ints("output_padding", std::vector<int64_t>(rank, 0));
  std::vector<int64_t> wanted = attributes.Ints("output_shape", {});
  if (wanted.empty() && same) {
    for (size_t i = 0; i < rank; ++i) wanted.push_back(input[i] * window.strides[i]);
  }
  if (wanted.size() == rank + 2) wanted.erase(wanted.begin(), wanted.begin() + 2);
  if (extra.size() != rank || (!wanted.empty() && wanted.size() != rank)) {
    throw Error(reason::kInvalidArgument,
                fmt::format("output_padding {} and output_shape {} need {} numbers",
                            ToString(extra), ToString(wanted), rank));
  }
  for (size_t i = 0; i < rank; ++i) {
    if (wanted.empty()) {
      window.end[i] -= extra[i];
      continue;
    }
    const int64_t full = window.strides[i] * (input[i] - 1) + window.Span(i);
    const int64_t total = std::max<int64_t>(0, full + extra[i] - wanted[i]);
    window.begin[i] = upper ? total / 2 : total - total / 2;
    window.end[i] = full - wanted[i] - window.begin[i];
  }
  return window;
}

Values DecomposeConvTranspose(const OpCall& call) {
  const Window window = TransposedWindow(call);
  Value y = Call("gradwire::ConvInputGrad", {call.input(0), call.input(1)},
                 CanonicalAttributes(window, call));
  if (!call.has(2)) return {y};
  const int64_t channels = y.dims()[1];
  if (call.dims(2) != Dims{channels}) {
    throw Error(reason::kShapeMismatch,
                fmt::format("B is {}, expected [{}]", ToString(call.spec(2)), channels));
  }
  Dims column(static_cast<size_t>(y.rank() - 1), 1);
  column[0] = channels;
  return {y + Reshape(call.input(2), column)};
}

GRADWIRE_OP({.name = "Conv",
             .inputs = {2, 3},
             .attributes = {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"},
             .decompose = DecomposeConv});
GRADWIRE_OP({.name = "ConvTranspose",
             .inputs = {2, 3},
             .attributes = {"auto_pad", "dilations", "group", "kernel_shape", "output_padding",
                            "output_shape", "pads", "strides"},
             .decompose = DecomposeConvTranspose});

}  // namespace
}  // namespace gradwire
