// DeformConv: a convolution that reads its input where learned offsets say.
#include <fmt/format.h>

#include "ops/range.h"
#include "ops/sampling.h"
#include "ops/window.h"

namespace gradwire {
namespace {

// Inputs X [N,C,H,W], W [M,C/group,kh,kw], offset [N,groups*kh*kw*2,oh,ow], B [M],
// mask [N,groups*kh*kw,oh,ow].
struct Deformation {
  explicit Deformation(const OpCall& call)
      : group(call.attributes().Int("group", 1)),
        offset_group(call.attributes().Int("offset_group", 1)) {
    if (call.rank(0) != 4 || call.rank(1) != 4 || call.rank(2) != 4 || group < 1 ||
        offset_group < 1) {
      throw Error(
          reason::kShapeMismatch,
          fmt::format("X is {}, W is {}, offset is {}: images [N,C,H,W] are expected",
                      ToString(call.spec(0)), ToString(call.spec(1)), ToString(call.spec(2))));
    }
    kernel = SpatialDims(call.dims(1));
    window = OnnxWindow(call.attributes(), kernel, SpatialDims(call.dims(0)));
    output = window.OutputOf(SpatialDims(call.dims(0)));
    batch = call.dims(0)[0];
    channels = call.dims(0)[1];
    taps = NumElements(kernel);
    places = NumElements(output);
    Check(call);
  }

  void Check(const OpCall& call) const {
    const Dims offset{batch, offset_group * taps * 2, output[0], output[1]};
    const Dims mask{batch, offset_group * taps, output[0], output[1]};
    const bool fits = call.dims(1)[1] * group == channels && call.dims(1)[0] % group == 0 &&
                      channels % offset_group == 0 && call.dims(2) == offset &&
                      (!call.has(4) || call.dims(4) == mask) &&
                      (!call.has(3) || call.dims(3) == Dims{call.dims(1)[0]});
    if (fits) return;
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, W is {} in {} groups, offset is {}: offset {} is expected",
                            ToString(call.spec(0)), ToString(call.spec(1)), group,
                            ToString(call.spec(2)), ToString(offset)));
  }

  // Coordinates along an axis that the window's taps read, [N*groups, taps*places].
  Value PointsAlong(const OpCall& call, int64_t axis) const {
    const auto d = static_cast<size_t>(axis);
    const DType dtype = call.dtype(2);
    const Value offsets = Reshape(
        call.input(2), {batch, offset_group, kernel[0], kernel[1], 2, output[0], output[1]});
    const Value offset =
        Reshape(Slice(offsets, {axis}, {axis + 1}, {4}, {1}),
                {batch * offset_group, kernel[0], kernel[1], output[0], output[1]});
    const int tap_axis = static_cast<int>(1 + axis);
    const Value tap = Cast(IotaAlong(tap_axis, 5, kernel[d]), dtype);
    const Value place = Cast(IotaAlong(tap_axis + 2, 5, output[d]), dtype);
    const Value base = place * static_cast<double>(window.strides[d]) +
                       tap * static_cast<double>(window.dilations[d]) -
                       static_cast<double>(window.begin[d]);
    return Reshape(offset + base, {batch * offset_group, taps * places});
  }

  // What the taps read, times the mask: [N, C, taps, places].
  Value Columns(const OpCall& call) const {
    const Dims image = SpatialDims(call.dims(0));
    std::vector<TapList> read;
    for (int64_t d = 0; d < 2; ++d) {
      const SampledAxis axis{image[size_t(d)], Padding::kZeros, 0, 0};
      read.push_back(TapsAlong(PointsAlong(call, d), axis, Interpolation::kLinear));
    }
    const int64_t width = channels / offset_group;
    const Value pixels = Transpose(
        Reshape(call.input(0), {batch * offset_group, width, NumElements(image)}), {0, 2, 1});
    Value samples = Sample(pixels, image, read);
    if (call.has(4)) {
      samples = samples * Reshape(call.input(4), {batch * offset_group, taps * places, 1});
    }
    return Reshape(Transpose(samples, {0, 2, 1}), {batch, channels, taps, places});
  }

  int64_t group, offset_group, batch, channels, taps, places;
  Dims kernel, output;
  Window window;
};

Values DecomposeDeformConv(const OpCall& call) {
  const Deformation d(call);
  const int64_t depth = d.channels / d.group * d.taps;
  const int64_t outputs = call.dims(1)[0];
  const Value columns = Reshape(d.Columns(call), {d.batch, d.group, depth, d.places});
  const Value weights = Reshape(call.input(1), {1, d.group, outputs / d.group, depth});
  Value y = Reshape(MatMul(weights, columns), {d.batch, outputs, d.output[0], d.output[1]});
  if (call.has(3)) y = y + Reshape(call.input(3), {1, outputs, 1, 1});
  return {y};
}

GRADWIRE_OP({.name = "DeformConv",
             .since = 19,
             .inputs = {3, 5},
             .attributes = {"dilations", "group", "kernel_shape", "offset_group", "pads",
                            "strides"},
             .decompose = DecomposeDeformConv});

}  // namespace
}  // namespace gradwire
