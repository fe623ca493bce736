// Reading arrays at points between their elements: where the elements around a point lie and what
// each counts, as differentiable formulas of the point.
#ifndef GRADWIRE_OPS_SAMPLING_H_
#define GRADWIRE_OPS_SAMPLING_H_

#include <string>
#include <vector>

#include "graph/formula.h"

namespace gradwire {

enum class Padding { kZeros, kBorder, kReflection };
enum class Interpolation { kNearest, kLinear, kCubic };

// One axis of an array that is read outside its elements too.
struct SampledAxis {
  int64_t extent;
  Padding padding;
  // Between which coordinates it lies; reflection happens there.
  double low;
  double high;
};

// For each point, the elements that count, and their weights; both have the points' shape.
struct Tap {
  Value index;   // int64, inside the array
  Value weight;  // 0 where zeros are padded
};
using TapList = std::vector<Tap>;

// The taps of points along one axis.
TapList TapsAlong(const Value& points, const SampledAxis& axis, Interpolation interpolation);
// `x` reflected at both ends of an axis, as often as it takes.
Value Reflect(const Value& x, const SampledAxis& axis);

// Sums of elements of x [N, M, C], whose M elements are those of an array of `extents`, at points
// [N, P] whose taps along each axis are given: [N, P, C].
Value Sample(const Value& x, const Dims& extents, const std::vector<TapList>& axes);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_SAMPLING_H_
