// How loops walk over arrays that broadcast to one shape.
#ifndef GRADWIRE_OPS_BROADCAST_H_
#define GRADWIRE_OPS_BROADCAST_H_

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "core/shape.h"
#include "graph/loop.h"

namespace gradwire {

// How one loop walks N arrays that broadcast to `dims`. Dimensions that all arrays walk alike are
// merged, so that along the innermost one each array's stride is 0 or 1.
template <size_t N>
class BroadcastLoop {
 public:
  using Offsets = std::array<int64_t, N>;

  BroadcastLoop(const Dims& out, const std::array<Dims, N>& in) : total_(NumElements(out)) {
    std::array<Dims, N> strides;
    for (size_t k = 0; k < N; ++k) strides[k] = BroadcastStrides(in[k], out);
    for (size_t d = 0; d < out.size(); ++d) {
      if (out[d] == 1) continue;
      Offsets at;
      for (size_t k = 0; k < N; ++k) at[k] = strides[k][d];
      Append(out[d], at);
    }
    if (dims_.empty()) Append(1, Offsets{});
  }

  int64_t total() const { return total_; }
  // Stride of each array along the innermost dimension: 0 or 1.
  const Offsets& inner() const { return strides_.back(); }

  // Covers [begin, end) of the output in runs along the innermost dimension: calls
  // f(offsets of the arrays, offset of the output, count).
  template <class F>
  void Run(int64_t begin, int64_t end, F&& f) const {
    Dims index(dims_.size());
    Offsets at{};
    int64_t rest = begin;
    for (size_t d = dims_.size(); d-- > 0; rest /= dims_[d]) {
      index[d] = rest % dims_[d];
      for (size_t k = 0; k < N; ++k) at[k] += index[d] * strides_[d][k];
    }
    const size_t last = dims_.size() - 1;
    while (begin < end) {
      const int64_t count = std::min(dims_[last] - index[last], end - begin);
      f(at, begin, count);
      begin += count;
      Advance(index, at, count);
    }
  }

 private:
  void Append(int64_t extent, const Offsets& stride) {
    bool mergeable = !dims_.empty();
    for (size_t k = 0; mergeable && k < N; ++k) {
      mergeable = strides_.back()[k] == stride[k] * extent;
    }
    if (mergeable) {
      dims_.back() *= extent;
      strides_.back() = stride;
    } else {
      dims_.push_back(extent);
      strides_.push_back(stride);
    }
  }

  void Advance(Dims& index, Offsets& at, int64_t count) const {
    size_t d = dims_.size() - 1;
    index[d] += count;
    for (size_t k = 0; k < N; ++k) at[k] += count * strides_[d][k];
    while (d > 0 && index[d] == dims_[d]) {
      for (size_t k = 0; k < N; ++k) at[k] += strides_[d - 1][k] - dims_[d] * strides_[d][k];
      index[d] = 0;
      ++index[--d];
    }
  }

  Dims dims_;
  absl::InlinedVector<Offsets, 6> strides_;
  int64_t total_;
};

// How a Loop walks over its operands, of any number up to kMaxLoopInputs: in one run where each is
// of the output's shape or one element, else as BroadcastLoop does. One element steps by 0.
class LoopWalk {
 public:
  using Offsets = std::array<int64_t, kMaxLoopInputs>;

  // `operands`: null where one was left out.
  LoopWalk(const Dims& out, std::span<const Dims* const> operands);

  // Of each operand, within a run.
  const Offsets& steps() const { return loop_ ? loop_->inner() : steps_; }

  // Covers [begin, end) of the output: calls f(offsets of the operands, offset of the output,
  // count).
  template <class F>
  void Run(int64_t begin, int64_t end, F&& f) const {
    if (loop_) return loop_->Run(begin, end, f);
    Offsets at;
    for (size_t k = 0; k < at.size(); ++k) at[k] = steps_[k] * begin;
    f(at, begin, end - begin);
  }

 private:
  Offsets steps_{};
  std::optional<BroadcastLoop<kMaxLoopInputs>> loop_;
};

}  // namespace gradwire

#endif  // GRADWIRE_OPS_BROADCAST_H_
