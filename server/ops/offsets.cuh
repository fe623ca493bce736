// Where arrays of other strides are read for each element of an output.
#ifndef GRADWIRE_OPS_OFFSETS_CUH_
#define GRADWIRE_OPS_OFFSETS_CUH_

#include <array>
#include <cstdint>

#include "core/error.h"
#include "core/shape.h"
#include "ops/real_math.h"

namespace gradwire::cuda {

// From an index of a row-major walk over some extents to the offsets of N arrays under strides of
// their own. Dimensions that all arrays walk alike are one.
template <int N>
class Offsets {
 public:
  // More dimensions than this, merged, are refused.
  static constexpr int kMaxRank = 16;

  Offsets() = default;
  // Arrays of dims `from`, broadcast to `dims`.
  Offsets(const Dims& dims, const std::array<Dims, N>& from) {
    std::array<Dims, N> strides;
    for (int k = 0; k < N; ++k) strides[k] = BroadcastStrides(from[k], dims);
    Build(dims, strides);
  }
  static Offsets WithStrides(const Dims& dims, const std::array<Dims, N>& strides) {
    Offsets offsets;
    offsets.Build(dims, strides);
    return offsets;
  }

  GRADWIRE_FN void Of(int64_t index, int64_t (&at)[N]) const {
    for (int k = 0; k < N; ++k) at[k] = 0;
    if (small_) {
      auto rest = static_cast<uint32_t>(index);
      for (int d = rank_ - 1; d > 0; --d) {
        const auto extent = static_cast<uint32_t>(extents_[d]);
        const uint32_t next = rest / extent;
        Add(d, rest - next * extent, at);
        rest = next;
      }
      index = rest;
    } else {
      for (int d = rank_ - 1; d > 0; --d) {
        const int64_t next = index / extents_[d];
        Add(d, index - next * extents_[d], at);
        index = next;
      }
    }
    if (rank_ > 0) Add(0, index, at);
  }

 private:
  GRADWIRE_FN void Add(int d, int64_t i, int64_t (&at)[N]) const {
    for (int k = 0; k < N; ++k) at[k] += i * strides_[d][k];
  }

  void Build(const Dims& dims, const std::array<Dims, N>& strides) {
    small_ = NumElements(dims) <= INT32_MAX;
    for (size_t d = 0; d < dims.size(); ++d) {
      if (dims[d] == 1) continue;
      bool joins = rank_ > 0;
      for (int k = 0; joins && k < N; ++k) {
        joins = strides_[rank_ - 1][k] == strides[k][d] * dims[d];
      }
      if (!joins) {
        if (rank_ == kMaxRank) {
          throw Error(reason::kOpUnsupported, "too many dimensions for a kernel on this device");
        }
        extents_[rank_++] = 1;
      }
      extents_[rank_ - 1] *= dims[d];
      for (int k = 0; k < N; ++k) strides_[rank_ - 1][k] = strides[k][d];
    }
  }

  int rank_ = 0;
  bool small_ = true;
  int64_t extents_[kMaxRank] = {};
  int64_t strides_[kMaxRank][N] = {};
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_OPS_OFFSETS_CUH_
