// Shapes: row-major extents, and the arithmetic that operators share.
#ifndef GRADWIRE_CORE_SHAPE_H_
#define GRADWIRE_CORE_SHAPE_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/container/inlined_vector.h"
#include "core/dtype.h"

namespace gradwire {

// Extent of each dimension, outermost first; empty for a scalar; extents may be 0.
using Dims = absl::InlinedVector<int64_t, 6>;

// Element type and shape.
struct TensorSpec {
  DType dtype = DType::kUndefined;
  Dims dims;

  int rank() const { return static_cast<int>(dims.size()); }
  // Elements, and bytes they take (sub-byte types are packed). Extents were checked by CheckDims.
  int64_t numel() const;
  int64_t bytes() const;
  bool operator==(const TensorSpec&) const = default;
};

// "[2,3]", "float32[2,3]".
std::string ToString(std::span<const int64_t> dims);
std::string ToString(const TensorSpec& spec);

int64_t NumElements(std::span<const int64_t> dims);
// Throws INVALID_ARGUMENT for a negative extent or more than 64 dimensions or 2^48 bytes.
void CheckSpec(const TensorSpec& spec);

// Axis in [0, rank) from one in [-rank, rank); throws INVALID_ARGUMENT naming `what` otherwise.
int NormalizeAxis(int64_t axis, int rank, const char* what = "axis");
// Normalised, sorted, each once; throws INVALID_ARGUMENT on duplicates.
Dims NormalizeAxes(std::span<const int64_t> axes, int rank);

// NumPy's rule; throws SHAPE_MISMATCH naming both.
Dims BroadcastDims(std::span<const int64_t> a, std::span<const int64_t> b);

// Row-major strides in elements.
Dims Strides(std::span<const int64_t> dims);
// Strides of `from` when read as `to`, to which it broadcasts: 0 along repeated dimensions.
Dims BroadcastStrides(std::span<const int64_t> from, std::span<const int64_t> to);

// dims split around an axis as outer x axis x inner elements.
struct AxisSplit {
  int64_t outer = 1;
  int64_t axis = 1;
  int64_t inner = 1;
};
AxisSplit SplitAt(std::span<const int64_t> dims, int axis);

}  // namespace gradwire

#endif  // GRADWIRE_CORE_SHAPE_H_
