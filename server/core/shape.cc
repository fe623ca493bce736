#include "core/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"

namespace gradwire {
namespace {

// NumPy's; what is done once for each pair of dimensions stays cheap.
constexpr size_t kMaxRank = 64;
// More than any machine has, and so little that bits, strides and sums of sizes never overflow.
constexpr int64_t kMaxBytes = int64_t{1} << 48;

}  // namespace

int64_t TensorSpec::numel() const { return NumElements(dims); }
int64_t TensorSpec::bytes() const { return (numel() * BitWidth(dtype) + 7) / 8; }

std::string ToString(std::span<const int64_t> dims) {
  return fmt::format("[{}]", fmt::join(dims, ","));
}

std::string ToString(const TensorSpec& spec) {
  return fmt::format("{}{}", Name(spec.dtype), ToString(spec.dims));
}

int64_t NumElements(std::span<const int64_t> dims) {
  int64_t count = 1;
  for (const int64_t dim : dims) count *= dim;
  return count;
}

void CheckSpec(const TensorSpec& spec) {
  if (spec.dims.size() > kMaxRank) {
    throw Error(reason::kInvalidArgument,
                fmt::format("a shape has at most {} dimensions, got {}", kMaxRank, spec.rank()));
  }
  int64_t budget = kMaxBytes / std::max<int64_t>(1, BitWidth(spec.dtype) / 8);
  for (const int64_t dim : spec.dims) {
    if (dim < 0) {
      throw Error(reason::kInvalidArgument,
                  fmt::format("shape {} has a negative extent", ToString(spec)));
    }
    // Extents of 0 do not excuse the others: loops multiply those, and reductions keep them.
    budget /= std::max<int64_t>(1, dim);
    if (budget == 0) {
      throw Error(reason::kInvalidArgument,
                  fmt::format("shape {} is larger than 2^48 bytes", ToString(spec)));
    }
  }
}

int NormalizeAxis(int64_t axis, int rank, const char* what) {
  if (axis < -rank || axis >= rank) {
    throw Error(reason::kInvalidArgument,
                fmt::format("{} {} is out of range for rank {}", what, axis, rank));
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Dims NormalizeAxes(std::span<const int64_t> axes, int rank) {
  Dims result;
  for (const int64_t axis : axes) result.push_back(NormalizeAxis(axis, rank));
  std::sort(result.begin(), result.end());
  if (std::adjacent_find(result.begin(), result.end()) != result.end()) {
    throw Error(reason::kInvalidArgument, fmt::format("axes {} repeat an axis", ToString(axes)));
  }
  return result;
}

Dims BroadcastDims(std::span<const int64_t> a, std::span<const int64_t> b) {
  const size_t rank = std::max(a.size(), b.size());
  Dims result(rank);
  for (size_t i = 0; i < rank; ++i) {
    const int64_t x = i < rank - a.size() ? 1 : a[i - (rank - a.size())];
    const int64_t y = i < rank - b.size() ? 1 : b[i - (rank - b.size())];
    if (x != y && x != 1 && y != 1) {
      throw Error(reason::kShapeMismatch, fmt::format("shapes {} and {} do not broadcast: {} != {}",
                                                      ToString(a), ToString(b), x, y));
    }
    result[i] = x == 1 ? y : x;
  }
  return result;
}

Dims Strides(std::span<const int64_t> dims) {
  Dims strides(dims.size());
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i];
  }
  return strides;
}

Dims BroadcastStrides(std::span<const int64_t> from, std::span<const int64_t> to) {
  const Dims own = Strides(from);
  const size_t lead = to.size() - from.size();
  Dims strides(to.size(), 0);
  for (size_t i = 0; i < from.size(); ++i) strides[lead + i] = from[i] == 1 ? 0 : own[i];
  return strides;
}

AxisSplit SplitAt(std::span<const int64_t> dims, int axis) {
  const auto at = static_cast<size_t>(axis);
  return {NumElements(dims.first(at)), dims[at], NumElements(dims.subspan(at + 1))};
}

}  // namespace gradwire
