// What the normalisations share: sums, and loops over [batch, channels, ...] that treat each
// channel alike.
#ifndef GRADWIRE_OPS_NORM_H_
#define GRADWIRE_OPS_NORM_H_

#include <algorithm>
#include <cstdint>

#include "core/parallel.h"
#include "core/shape.h"
#include "graph/formula.h"

namespace gradwire {

// 16-bit floats are computed in float32.
inline DType ComputeType(DType dtype) { return kHalves.Contains(dtype) ? DType::kFloat32 : dtype; }

// An array as batch x channels x inner elements.
struct Channels {
  int64_t batch;
  int64_t channels;
  int64_t inner;

  explicit Channels(const Dims& dims) {
    const AxisSplit split = SplitAt(dims, 1);
    batch = split.outer;
    channels = split.axis;
    inner = split.inner;
  }
  int64_t count() const { return batch * inner; }  // elements of one channel
};

// The channels that a thread works on together: one where its elements lie in long runs, so that
// it stays in the cache from pass to pass; many where a run would be too short to be fast.
inline constexpr int64_t kMaxChannelBlock = 64;
inline constexpr int64_t kLongRun = 16;

// Calls f(first channel, number of channels <= kMaxChannelBlock) for blocks that cover all, in
// parallel.
template <class F>
void ForChannelBlocks(const Channels& view, F f) {
  constexpr int64_t kGrain = 1 << 15;
  const int64_t block = view.inner >= kLongRun ? 1 : kMaxChannelBlock;
  const int64_t blocks = (view.channels + block - 1) / block;
  const int64_t work = std::max<int64_t>(1, block * view.count());
  ParallelFor(blocks, kGrain / work, [=](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      f(b * block, std::min(block, view.channels - b * block));
    }
  });
}

// For each element i of the channels [first, first + n): at(channel)(i).
template <class F>
void ForEachElement(const Channels& view, int64_t first, int64_t n, F at) {
  for (int64_t b = 0; b < view.batch; ++b) {
    const int64_t base = (b * view.channels + first) * view.inner;
    if (view.inner == 1) {
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) at(first + c)(base + c);
      continue;
    }
    for (int64_t c = 0; c < n; ++c) {
      const auto f = at(first + c);
      const int64_t begin = base + c * view.inner;
#pragma omp simd
      for (int64_t i = begin; i < begin + view.inner; ++i) f(i);
    }
  }
}

// Sums f(i) over [begin, end): short stretches in T, those in double.
template <class T, class F>
double SumStretches(int64_t begin, int64_t end, F f) {
  constexpr int64_t kStretch = 512;
  double sum = 0;
  for (; begin < end; begin += kStretch) {
    const int64_t stop = std::min(end, begin + kStretch);
    T part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t i = begin; i < stop; ++i) part += f(i);
    sum += part;
  }
  return sum;
}

// sums[c] = the sum over the elements i of channel first + c of at(channel)(i).
template <class T, class F>
void SumElements(const Channels& view, int64_t first, int64_t n, double* sums, F at) {
  std::fill_n(sums, n, 0.0);
  for (int64_t b = 0; b < view.batch; ++b) {
    const int64_t base = (b * view.channels + first) * view.inner;
    if (view.inner == 1) {
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) sums[c] += at(first + c)(base + c);
      continue;
    }
    for (int64_t c = 0; c < n; ++c) {
      const int64_t begin = base + c * view.inner;
      sums[c] += SumStretches<T>(begin, begin + view.inner, at(first + c));
    }
  }
}

// The shape in which an array of one element a channel broadcasts against `rank` dimensions.
inline Dims ChannelDims(int64_t channels, int rank) {
  Dims dims(static_cast<size_t>(rank), 1);
  dims[1] = channels;
  return dims;
}
inline Value PerChannel(const Value& x, int rank) {
  return Reshape(x, ChannelDims(x.numel(), rank));
}

// All axes but that of the channels.
inline Dims AxesButChannels(int rank) {
  Dims axes = AllAxes(rank);
  axes.erase(axes.begin() + 1);
  return axes;
}

}  // namespace gradwire

#endif  // GRADWIRE_OPS_NORM_H_
