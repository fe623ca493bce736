// Resize and Upsample. Interpolation is separable and linear: along each axis, an output is a
// weighted sum of a few inputs that depend on nothing but the shapes.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "graph/on_host.h"
#include "ops/quantize.h"

namespace gradwire {
namespace {

enum class Mode { kNearest, kLinear, kCubic };

// What the attributes say.
struct Method {
  Mode mode = Mode::kNearest;
  std::string coordinates = "asymmetric";
  std::string nearest = "floor";
  bool antialias = false;
  bool exclude_outside = false;
  double cubic_a = -0.75;
  double extrapolation = 0;
};

struct AxisResize {
  int64_t in = 0;
  int64_t out = 0;
  double scale = 1;
  double roi_begin = 0;
  double roi_end = 1;
};

Mode ParseMode(const std::string& name) {
  if (name == "nearest") return Mode::kNearest;
  if (name == "linear" || name == "bilinear") return Mode::kLinear;
  if (name == "cubic") return Mode::kCubic;
  throw Error(reason::kInvalidArgument, fmt::format("mode '{}' is not known", name));
}

// Where output `y` lies among the inputs.
double SourceOf(int64_t at, const AxisResize& axis, const std::string& coordinates) {
  const auto y = static_cast<double>(at);
  const auto in = static_cast<double>(axis.in);
  const double out = axis.scale * in;
  if (coordinates == "align_corners") return out == 1 ? 0.0 : y * (in - 1) / (out - 1);
  if (coordinates == "asymmetric") return y / axis.scale;
  if (coordinates == "tf_crop_and_resize") {
    const double extent = (axis.roi_end - axis.roi_begin) * (in - 1);
    return axis.roi_begin * (in - 1) + (out == 1 ? extent / 2 : y * extent / (out - 1));
  }
  if (coordinates == "pytorch_half_pixel" && out == 1) return -0.5;
  const double half_pixel = (y + 0.5) / axis.scale - 0.5;
  if (coordinates == "half_pixel" || coordinates == "pytorch_half_pixel") return half_pixel;
  if (coordinates == "half_pixel_symmetric") {
    return in / 2 * (1 - static_cast<double>(axis.out) / out) + half_pixel;
  }
  throw Error(reason::kInvalidArgument,
              fmt::format("coordinate_transformation_mode '{}' is not known", coordinates));
}

int64_t NearestOf(double source, const std::string& mode) {
  if (mode == "round_prefer_floor") return static_cast<int64_t>(std::ceil(source - 0.5));
  if (mode == "round_prefer_ceil") return static_cast<int64_t>(std::floor(source + 0.5));
  if (mode == "floor") return static_cast<int64_t>(std::floor(source));
  if (mode == "ceil") return static_cast<int64_t>(std::ceil(source));
  throw Error(reason::kInvalidArgument, fmt::format("nearest_mode '{}' is not known", mode));
}

// Keys' kernel: 0 from a distance of 2 on.
double Cubic(double distance, double a) {
  const double x = std::abs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

double Linear(double distance) { return std::max(0.0, 1 - std::abs(distance)); }

// The taps of one axis: for each output, `count` positions, which may lie outside the input, from
// `first` on, and their weights.
struct AxisTaps {
  int64_t count = 0;
  std::vector<double> index;
  std::vector<double> weight;
};

AxisTaps TapsOf(const AxisResize& axis, const Method& method) {
  const double stretch = method.antialias ? std::min(axis.scale, 1.0) : 1.0;
  const double reach = method.mode == Mode::kCubic ? 2 : 1;
  if (!(reach / stretch <= 1 << 20)) {  // and so `lowest` is an int64
    throw Error(reason::kInvalidArgument, fmt::format("scale {} is out of range", axis.scale));
  }
  const auto lowest = static_cast<int64_t>(std::floor(-reach / stretch)) + 1;
  AxisTaps taps{.count = 2 - 2 * lowest};
  RequireTable(axis.out, taps.count);
  for (int64_t y = 0; y < axis.out; ++y) {
    const double source = SourceOf(y, axis, method.coordinates);
    const double base = std::ceil(source) - 1;  // an input at the source is the right one of two
    std::vector<double> weights;
    double sum = 0;
    for (int64_t k = 0; k < taps.count; ++k) {
      const double position = base + static_cast<double>(lowest + k);
      const double distance = (position - source) * stretch;
      double weight =
          method.mode == Mode::kCubic ? Cubic(distance, method.cubic_a) : Linear(distance);
      const bool outside = position < 0 || position >= static_cast<double>(axis.in);
      if (method.exclude_outside && outside) weight = 0;
      taps.index.push_back(std::clamp(position, 0.0, static_cast<double>(axis.in - 1)));
      weights.push_back(weight);
      sum += weight;
    }
    if (!(method.antialias || method.exclude_outside) || sum == 0) sum = 1;
    for (const double weight : weights) taps.weight.push_back(weight / sum);
  }
  return taps;
}

Value Interpolate(const Value& x, int axis, const AxisResize& resize, const Method& method) {
  const AxisTaps taps = TapsOf(resize, method);
  const AxisSplit split = SplitAt(x.dims(), axis);
  const Dims table{1, resize.out, taps.count};
  const Value y = Call("gradwire::TapGather", {Reshape(x, {split.outer, split.axis, split.inner}),
                                               Array(table, taps.index, DType::kInt64),
                                               Array(table, taps.weight, x.dtype())});
  Dims dims = x.dims();
  dims[size_t(axis)] = resize.out;
  return Reshape(y, dims);
}

Value TakeNearest(const Value& x, int axis, const AxisResize& resize, const Method& method) {
  RequireTable(resize.out, 1);
  std::vector<int64_t> indices;
  for (int64_t y = 0; y < resize.out; ++y) {
    const int64_t at = NearestOf(SourceOf(y, resize, method.coordinates), method.nearest);
    indices.push_back(std::clamp<int64_t>(at, 0, resize.in - 1));
  }
  return Call("Gather", {x, IntVector(indices)}, {{"axis", int64_t{axis}}});
}

// The extrapolation value where a crop reaches beyond the input.
Value Extrapolate(const Value& y, int axis, const AxisResize& resize, const Method& method) {
  if (method.coordinates != "tf_crop_and_resize") return y;
  std::vector<double> outside;
  for (int64_t at = 0; at < resize.out; ++at) {
    const double source = SourceOf(at, resize, method.coordinates);
    outside.push_back(source < 0 || source > static_cast<double>(resize.in - 1) ? 1 : 0);
  }
  if (std::find(outside.begin(), outside.end(), 1.0) == outside.end()) return y;
  Dims dims(size_t(y.rank()), 1);
  dims[size_t(axis)] = resize.out;
  return Where(Array(dims, outside, DType::kBool), Scalar(method.extrapolation, y.dtype()), y);
}

bool IsIdentity(const AxisResize& a) {
  return a.in == a.out && std::abs(a.scale - 1) <= 1e-9 && a.roi_begin == 0 && a.roi_end == 1;
}

Value ResizeAll(const Value& x, const std::vector<AxisResize>& axes, const Method& method) {
  const bool gathers = method.mode == Mode::kNearest;
  if (gathers && method.antialias) {
    throw Error(reason::kInvalidArgument, "antialias is not possible in mode 'nearest'");
  }
  Value y = x;
  if (!gathers && kHalves.Contains(x.dtype())) y = Cast(x, DType::kFloat32);
  if (!gathers && (kInts | kBool).Contains(x.dtype())) y = Cast(x, DType::kFloat64);
  for (int axis = 0; axis < x.rank(); ++axis) {
    const AxisResize& resize = axes[size_t(axis)];
    if (IsIdentity(resize)) continue;
    if (resize.in == 0 && resize.out > 0) {
      throw Error(reason::kShapeMismatch, fmt::format("axis {} of {} is empty: nothing to resize",
                                                      axis, ToString(x.spec())));
    }
    y = gathers ? TakeNearest(y, axis, resize, method) : Interpolate(y, axis, resize, method);
    y = Extrapolate(y, axis, resize, method);
  }
  if (y.dtype() != x.dtype()) {
    return kInts.Contains(x.dtype()) ? SaturateTo(y, x.dtype()) : Cast(y, x.dtype());
  }
  return y.slot() == x.slot() ? Call("Identity", {y}) : y;
}

// ---- The shapes

int64_t ScaledExtent(double scale, int64_t extent) {
  if (!(scale > 0) || scale > 1e9) {
    throw Error(reason::kInvalidArgument, fmt::format("scale {} is not positive", scale));
  }
  return static_cast<int64_t>(std::floor(scale * static_cast<double>(extent)));
}

void RequireCount(const char* what, size_t count, size_t expected) {
  if (count == expected) return;
  throw Error(reason::kInvalidArgument,
              fmt::format("{} {} are given, {} expected", count, what, expected));
}

// An axis of the call for each number: the axes named, or all.
std::vector<size_t> AxesOf(const OpCall& call) {
  std::vector<size_t> axes;
  if (call.attributes().Has("axes")) {
    NormalizeAxes(call.attributes().Ints("axes"), call.rank(0));  // throws where one comes twice
    for (const int64_t axis : call.attributes().Ints("axes")) {
      axes.push_back(static_cast<size_t>(NormalizeAxis(axis, call.rank(0))));
    }
    return axes;
  }
  for (int axis = 0; axis < call.rank(0); ++axis) axes.push_back(static_cast<size_t>(axis));
  return axes;
}

std::vector<AxisResize> AllAxesOf(const Dims& dims) {
  std::vector<AxisResize> axes;
  for (const int64_t extent : dims) axes.push_back({.in = extent, .out = extent});
  return axes;
}

std::vector<AxisResize> ByScales(const OpCall& call, const std::vector<double>& scales) {
  std::vector<AxisResize> resizes = AllAxesOf(call.dims(0));
  const std::vector<size_t> axes = AxesOf(call);
  RequireCount("scales", scales.size(), axes.size());
  for (size_t i = 0; i < axes.size(); ++i) {
    AxisResize& axis = resizes[axes[i]];
    axis.scale = scales[i];
    axis.out = ScaledExtent(scales[i], axis.in);
  }
  return resizes;
}

std::vector<AxisResize> BySizes(const OpCall& call, const std::vector<int64_t>& sizes) {
  std::vector<AxisResize> resizes = AllAxesOf(call.dims(0));
  const std::vector<size_t> axes = AxesOf(call);
  RequireCount("sizes", sizes.size(), axes.size());
  const std::string policy = call.attributes().String("keep_aspect_ratio_policy", "stretch");
  if (policy != "stretch" && policy != "not_larger" && policy != "not_smaller") {
    throw Error(reason::kInvalidArgument,
                fmt::format("keep_aspect_ratio_policy '{}' is not known", policy));
  }
  std::vector<double> scales;
  for (size_t i = 0; i < axes.size(); ++i) {
    AxisResize& axis = resizes[axes[i]];
    if (sizes[i] < 0) {
      throw Error(reason::kInvalidArgument, fmt::format("size {} is negative", sizes[i]));
    }
    axis.out = sizes[i];
    axis.scale = static_cast<double>(sizes[i]) / static_cast<double>(axis.in);
    scales.push_back(axis.scale);
  }
  if (policy == "stretch" || scales.empty()) return resizes;
  const auto [least, most] = std::minmax_element(scales.begin(), scales.end());
  const double scale = policy == "not_larger" ? *least : *most;
  for (const size_t at : axes) {
    AxisResize& axis = resizes[at];
    axis.scale = scale;
    axis.out = std::lround(scale * static_cast<double>(axis.in));
  }
  return resizes;
}

void ReadRoi(const OpCall& call, std::vector<AxisResize>& resizes) {
  const std::vector<size_t> axes = AxesOf(call);
  const std::vector<double> roi = call.has(1) ? call.Numbers(1) : std::vector<double>();
  RequireCount("numbers of roi", roi.size(), 2 * axes.size());
  for (size_t i = 0; i < axes.size(); ++i) {
    resizes[axes[i]].roi_begin = roi[i];
    resizes[axes[i]].roi_end = roi[axes.size() + i];
  }
}

// ---- ONNX's rows

Values DecomposeResize(const OpCall& call) {
  const Attributes& attributes = call.attributes();
  const Method method{
      .mode = ParseMode(attributes.String("mode", "nearest")),
      .coordinates = attributes.String("coordinate_transformation_mode", "half_pixel"),
      .nearest = attributes.String("nearest_mode", "round_prefer_floor"),
      .antialias = attributes.Int("antialias", 0) != 0,
      .exclude_outside = attributes.Int("exclude_outside", 0) != 0,
      .cubic_a = attributes.Float("cubic_coeff_a", -0.75),
      .extrapolation = attributes.Float("extrapolation_value", 0)};
  const bool has_scales = call.has(2) && call.spec(2).numel() > 0;
  const bool has_sizes = call.has(3) && !(has_scales && call.spec(3).numel() == 0);
  if (has_scales == has_sizes) {
    throw Error(reason::kInvalidArgument, "exactly one of scales and sizes must be given");
  }
  std::vector<AxisResize> axes =
      has_sizes ? BySizes(call, call.Ints(3)) : ByScales(call, call.Numbers(2));
  if (method.coordinates == "tf_crop_and_resize") ReadRoi(call, axes);
  return {ResizeAll(call.input(0), axes, method)};
}

// Resize-10 and Upsample-9 (X, scales).
Values DecomposeUpsample9(const OpCall& call) {
  const Method method{.mode = ParseMode(call.attributes().String("mode", "nearest"))};
  return {ResizeAll(call.input(0), ByScales(call, call.Numbers(1)), method)};
}

Values DecomposeUpsample7(const OpCall& call) {
  const Attributes& attributes = call.attributes();
  const Method method{.mode = ParseMode(attributes.String("mode", "nearest"))};
  return {ResizeAll(call.input(0), ByScales(call, attributes.Floats("scales")), method)};
}

Values DecomposeUpsample1(const OpCall& call) {
  const Attributes& attributes = call.attributes();
  const Method method{.mode = ParseMode(attributes.String("mode", "nearest"))};
  const std::vector<double> scales{1, 1, attributes.Float("height_scale"),
                                   attributes.Float("width_scale")};
  return {ResizeAll(call.input(0), ByScales(call, scales), method)};
}

GRADWIRE_OP({.name = "Upsample",
             .since = 1,
             .types = kDense,
             .attributes = {"mode", "height_scale", "width_scale"},
             .decompose = DecomposeUpsample1});
GRADWIRE_OP({.name = "Upsample",
             .since = 7,
             .types = kDense,
             .attributes = {"mode", "scales"},
             .decompose = DecomposeUpsample7});
GRADWIRE_OP({.name = "Upsample",
             .since = 9,
             .inputs = 2,
             .types = kDense,
             .attributes = {"mode"},
             .decompose = DecomposeUpsample9});
GRADWIRE_OP({.name = "Resize",
             .since = 10,
             .inputs = 2,
             .types = kDense,
             .attributes = {"mode"},
             .decompose = DecomposeUpsample9});
GRADWIRE_OP({.name = "Resize",
             .since = 11,
             .inputs = {3, 4},
             .types = kDense,
             .attributes = {"mode", "coordinate_transformation_mode", "nearest_mode",
                            "exclude_outside", "cubic_coeff_a", "extrapolation_value"},
             .decompose = DecomposeResize});
GRADWIRE_OP({.name = "Resize",
             .since = 13,
             .inputs = {1, 4},
             .types = kDense,
             .attributes = {"mode", "coordinate_transformation_mode", "nearest_mode",
                            "exclude_outside", "cubic_coeff_a", "extrapolation_value"},
             .decompose = DecomposeResize});
GRADWIRE_OP({.name = "Resize",
             .since = 18,
             .inputs = {1, 4},
             .types = kDense,
             .attributes = {"mode", "coordinate_transformation_mode", "nearest_mode",
                            "exclude_outside", "cubic_coeff_a", "extrapolation_value", "antialias",
                            "axes", "keep_aspect_ratio_policy"},
             .decompose = DecomposeResize});

}  // namespace
}  // namespace gradwire
