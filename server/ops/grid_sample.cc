// GridSample and the grids of AffineGrid.
#include <fmt/format.h>

#include <algorithm>

#include "graph/on_host.h"
#include "ops/quantize.h"
#include "ops/sampling.h"

namespace gradwire {
namespace {

Interpolation ParseInterpolation(const std::string& name) {
  if (name == "nearest") return Interpolation::kNearest;
  if (name == "linear" || name == "bilinear") return Interpolation::kLinear;
  if (name == "cubic" || name == "bicubic") return Interpolation::kCubic;
  throw Error(reason::kInvalidArgument, fmt::format("mode '{}' is not known", name));
}

Padding ParsePadding(const std::string& name) {
  if (name == "zeros") return Padding::kZeros;
  if (name == "border") return Padding::kBorder;
  if (name == "reflection") return Padding::kReflection;
  throw Error(reason::kInvalidArgument, fmt::format("padding_mode '{}' is not known", name));
}

// Coordinates in elements of an axis from those of a grid, where it is [-1, 1].
Value PointsAlong(const Value& grid, const SampledAxis& axis, bool align_corners) {
  const auto extent = static_cast<double>(axis.extent);
  if (align_corners) return (grid + 1.0) / 2.0 * (extent - 1);
  return ((grid + 1.0) * extent - 1.0) / 2.0;
}

// Points outside an axis brought to where its padding has them. Those on its end stay there, with
// no gradient.
Value Pad(const Value& x, const SampledAxis& axis) {
  if (axis.padding == Padding::kZeros) return x;
  const Value last = Scalar(static_cast<double>(axis.extent - 1), x.dtype());
  if (axis.padding == Padding::kReflection) {
    const Value inside = Reflect(x, axis);
    return Where(Equal(inside, last), last, inside);
  }
  const Value low = LessOrEqual(x, Scalar(axis.low, x.dtype()));
  const Value high = GreaterOrEqual(x, Scalar(axis.high, x.dtype()));
  return Where(low, Scalar(0, x.dtype()), Where(high, last, x));
}

void CheckGrid(const OpCall& call) {
  const int rank = call.rank(0);
  const bool fits = rank >= 3 && call.rank(1) == rank && call.dims(1)[0] == call.dims(0)[0] &&
                    call.dims(1).back() == rank - 2 && kGradTypes.Contains(call.dtype(1));
  if (!fits) {
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, grid is {}: a point for each position of each of the batch's "
                            "images is expected",
                            ToString(call.spec(0)), ToString(call.spec(1))));
  }
}

Values DecomposeGridSample(const OpCall& call) {
  CheckGrid(call);
  const Attributes& attributes = call.attributes();
  const Interpolation mode = ParseInterpolation(attributes.String("mode", "linear"));
  const Padding padding = ParsePadding(attributes.String("padding_mode", "zeros"));
  const bool align = attributes.Int("align_corners", 0) != 0;
  const Dims& dims = call.dims(0);
  const Dims extents(dims.begin() + 2, dims.end());
  const auto rank = static_cast<int64_t>(extents.size());
  const Dims places(call.dims(1).begin() + 1, call.dims(1).end() - 1);
  const Dims batch{dims[0], NumElements(places)};

  std::vector<TapList> taps;
  for (int64_t d = 0; d < rank; ++d) {
    const auto extent = static_cast<double>(extents[size_t(d)]);
    const SampledAxis axis{extents[size_t(d)], padding, align ? 0 : -0.5,
                           align ? extent - 1 : extent - 0.5};
    const int64_t column = rank - 1 - d;  // the innermost axis comes first
    const Value grid = Slice(call.input(1), {column}, {column + 1}, {rank + 1}, {1});
    Value points = PointsAlong(Reshape(grid, batch), axis, align);
    if (mode == Interpolation::kNearest) points = Call("Round", {points});
    taps.push_back(TapsAlong(Pad(points, axis), axis, mode));
  }
  const bool whole = !kFloats.Contains(call.dtype(0));
  const Value x = whole ? Cast(call.input(0), DType::kFloat64) : call.input(0);
  const Value flat = Transpose(Reshape(x, {dims[0], dims[1], NumElements(extents)}), {0, 2, 1});
  Dims out{dims[0], dims[1]};
  out.insert(out.end(), places.begin(), places.end());
  const Value y = Reshape(Transpose(Sample(flat, extents, taps), {0, 2, 1}), out);
  if (!whole) return {y};
  return {kInts.Contains(call.dtype(0)) ? SaturateTo(y, call.dtype(0)) : Cast(y, call.dtype(0))};
}

GRADWIRE_OP({.name = "GridSample",
             .since = 16,
             .inputs = 2,
             .types = kNumbers,
             .attributes = {"align_corners", "mode", "padding_mode"},
             .decompose = DecomposeGridSample});

// ---- AffineGrid

// Middles of `count` equal parts of [-1, 1], or with `align_corners` points from -1 to 1.
double GridPoint(int64_t i, int64_t count, bool align_corners) {
  if (align_corners) {
    return count == 1 ? -1.0 : -1 + 2 * static_cast<double>(i) / static_cast<double>(count - 1);
  }
  return (2 * static_cast<double>(i) + 1) / static_cast<double>(count) - 1;
}

// Each point's coordinates, innermost axis first, and 1: [points, rank + 1].
Value HomogeneousGrid(const Dims& extents, bool align_corners, DType dtype) {
  const size_t rank = extents.size();
  Values coordinates;
  for (size_t d = rank; d-- > 0;) {
    RequireTable(extents[d], 1);
    std::vector<double> points;
    for (int64_t i = 0; i < extents[d]; ++i) {
      points.push_back(GridPoint(i, extents[d], align_corners));
    }
    Dims along(rank, 1);
    along[d] = extents[d];
    coordinates.push_back(Expand(Array(along, points, dtype), extents));
  }
  coordinates.push_back(Expand(Scalar(1, dtype), extents));
  for (Value& values : coordinates) values = Reshape(values, {NumElements(extents), 1});
  return Concat(coordinates, 1);
}

Values DecomposeAffineGrid(const OpCall& call) {
  const std::vector<int64_t> size = call.Ints(1);
  const auto rank = static_cast<int64_t>(size.size()) - 2;
  const bool negative = std::any_of(size.begin(), size.end(), [](int64_t n) { return n < 0; });
  if ((rank != 2 && rank != 3) || negative || call.dims(0) != Dims{size[0], rank, rank + 1}) {
    throw Error(reason::kShapeMismatch,
                fmt::format("theta is {}, size is {}: theta [N,2,3] for a size N,C,H,W or [N,3,4] "
                            "for N,C,D,H,W is expected",
                            ToString(call.spec(0)), ToString(size)));
  }
  const Dims extents(size.begin() + 2, size.end());
  const bool align = call.attributes().Int("align_corners", 0) != 0;
  const Value grid = HomogeneousGrid(extents, align, call.dtype(0));
  Dims out{size[0]};
  out.insert(out.end(), extents.begin(), extents.end());
  out.push_back(rank);
  const Value points = Unsqueeze(grid, {0});
  return {Reshape(MatMul(points, call.input(0), /*transpose_a=*/false, /*transpose_b=*/true), out)};
}

GRADWIRE_OP({.name = "AffineGrid",
             .since = 20,
             .inputs = 2,
             .attributes = {"align_corners"},
             .decompose = DecomposeAffineGrid});

}  // namespace
}  // namespace gradwire
