#include "ops/sampling.h"

namespace gradwire {
namespace {

Value Floor(const Value& x) { return Call("Floor", {x}); }

// Within [0, extent), NaN at 0.
Value Inside(const Value& position, int64_t extent) {
  const Value last = Scalar(static_cast<double>(extent - 1), position.dtype());
  const Value zero = Scalar(0, position.dtype());
  return Where(Greater(position, last), last, Where(Greater(position, zero), position, zero));
}

// The tap at a whole position, which may lie outside.
Tap TapAt(const Value& position, const Value& weight, const SampledAxis& axis) {
  const bool reflects = axis.padding == Padding::kReflection;
  const Value at = Inside(reflects ? Floor(Reflect(position, axis)) : position, axis.extent);
  Tap tap{Cast(at, DType::kInt64), weight};
  if (axis.padding == Padding::kZeros) {
    tap.weight = Where(Equal(at, position), weight, Scalar(0, weight.dtype()));
  }
  return tap;
}

// Keys' kernel at distances up to 1, and from 1 to 2.
constexpr double kCubicA = -0.75;
Value CubicNear(const Value& x) { return ((kCubicA + 2) * x - (kCubicA + 3)) * x * x + 1.0; }
Value CubicFar(const Value& x) {
  return ((kCubicA * x - 5 * kCubicA) * x + 8 * kCubicA) * x - 4 * kCubicA;
}

}  // namespace

Value Reflect(const Value& x, const SampledAxis& axis) {
  const double range = axis.high - axis.low;
  if (range <= 0) return ZerosLike(x.spec());
  const Value distance = Abs(x - axis.low);
  const Value turns = Floor(distance / range);
  const Value rest = distance - turns * range;
  const Value even = Equal(turns, 2.0 * Floor(turns / 2.0));
  return Where(even, axis.low + rest, axis.high - rest);
}

TapList TapsAlong(const Value& points, const SampledAxis& axis, Interpolation interpolation) {
  if (interpolation == Interpolation::kNearest) {
    return {TapAt(points, Full(points.dims(), 1, points.dtype()), axis)};
  }
  const Value below = Floor(points);
  const Value t = points - below;
  if (interpolation == Interpolation::kLinear) {
    return {TapAt(below, 1.0 - t, axis), TapAt(below + 1.0, t, axis)};
  }
  return {TapAt(below - 1.0, CubicFar(t + 1.0), axis), TapAt(below, CubicNear(t), axis),
          TapAt(below + 1.0, CubicNear(1.0 - t), axis),
          TapAt(below + 2.0, CubicFar(2.0 - t), axis)};
}

Value Sample(const Value& x, const Dims& extents, const std::vector<TapList>& axes) {
  TapList all = axes[0];
  for (size_t d = 1; d < axes.size(); ++d) {
    TapList product;
    for (const Tap& outer : all) {
      const Value row = outer.index * Scalar(static_cast<double>(extents[d]), DType::kInt64);
      for (const Tap& inner : axes[d]) {
        product.push_back({row + inner.index, outer.weight * inner.weight});
      }
    }
    all = std::move(product);
  }
  Values indices;
  Values weights;
  for (const Tap& tap : all) {
    indices.push_back(Unsqueeze(tap.index, {2}));
    weights.push_back(Unsqueeze(tap.weight, {2}));
  }
  return Call("gradwire::TapGather", {x, Concat(indices, 2), Cast(Concat(weights, 2), x.dtype())});
}

}  // namespace gradwire
