#include "ops/batch_norm_last.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/dtype.h"
#include "core/parallel.h"

namespace gradwire {
namespace {

constexpr int64_t kGrain = 1 << 14;

// An array of rows of one element a channel.
struct Rows {
  explicit Rows(const Dims& dims)
      : channels(dims.back()), count(channels == 0 ? 0 : NumElements(dims) / channels) {}

  // Rows that are worth a thread's wake-up.
  int64_t grain() const { return 1 + kGrain / std::max<int64_t>(1, channels); }

  int64_t channels;
  int64_t count;
};

// For each row, whose elements begin at `at`, and each channel c: f(at + c, c).
template <class F>
void ForEachElement(const Rows& rows, F f) {
  ParallelFor(rows.count, rows.grain(), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = row * rows.channels;
#pragma omp simd
      for (int64_t c = 0; c < rows.channels; ++c) f(at + c, c);
    }
  });
}

// Sums term(i, c) of each channel: a few rows in T, those in double, and the threads' sums in their
// order.
template <class T, class F>
std::vector<double> SumRows(const Rows& rows, F term) {
  constexpr int64_t kStretch = 64;
  const auto channels = static_cast<size_t>(rows.channels);
  const int64_t threads = std::clamp<int64_t>(rows.count / rows.grain(), 1, Threads());
  std::vector<std::vector<double>> sums(static_cast<size_t>(threads),
                                        std::vector<double>(channels));
  ParallelFor(threads, 1, [&](int64_t first, int64_t last) {
    std::vector<T> part(channels);
    for (int64_t thread = first; thread < last; ++thread) {
      double* const sum = sums[static_cast<size_t>(thread)].data();
      const int64_t end = rows.count * (thread + 1) / threads;
      for (int64_t row = rows.count * thread / threads; row < end;) {
        std::fill(part.begin(), part.end(), T{});
        T* const partial = part.data();
        for (const int64_t stop = std::min(end, row + kStretch); row < stop; ++row) {
          const int64_t at = row * rows.channels;
#pragma omp simd
          for (int64_t c = 0; c < rows.channels; ++c) partial[c] += term(at + c, c);
        }
        for (size_t c = 0; c < channels; ++c) sum[c] += static_cast<double>(partial[c]);
      }
    }
  });
  for (size_t thread = 1; thread < sums.size(); ++thread) {
    for (size_t c = 0; c < channels; ++c) sums[0][c] += sums[thread][c];
  }
  return std::move(sums[0]);
}

template <class T>
void BatchNorm(KernelContext& k) {
  const Rows rows(k.input(0).dims());
  const double epsilon = k.attributes().Float("epsilon");
  const auto count = static_cast<double>(rows.count);
  const T *x = k.in<T>(0), *scale = k.in<T>(1), *bias = k.in<T>(2);
  T *y = k.out<T>(0), *mean = k.out<T>(1), *var = k.out<T>(2);
  std::vector<double> sums = SumRows<T>(rows, [=](int64_t i, int64_t) { return x[i]; });
  for (size_t c = 0; c < sums.size(); ++c) mean[c] = static_cast<T>(sums[c] / count);
  sums =
      SumRows<T>(rows, [=](int64_t i, int64_t c) { return (x[i] - mean[c]) * (x[i] - mean[c]); });
  std::vector<T> factors(sums.size());
  for (size_t c = 0; c < sums.size(); ++c) {
    const double variance = sums[c] / count;
    var[c] = static_cast<T>(variance);
    factors[c] = static_cast<T>(scale[c] / std::sqrt(variance + epsilon));
  }
  ForEachElement(rows, [=, f = factors.data()](int64_t i, int64_t c) {
    y[i] = (x[i] - mean[c]) * f[c] + bias[c];
  });
}

template <class T>
void BatchNormGrad(KernelContext& k) {
  const Rows rows(k.input(1).dims());
  const double epsilon = k.attributes().Float("epsilon");
  const auto count = static_cast<double>(rows.count);
  const T *dy = k.in<T>(0), *x = k.in<T>(1), *scale = k.in<T>(2), *mean = k.in<T>(3),
          *var = k.in<T>(4);
  T *dx = k.out<T>(0), *dscale = k.out<T>(1), *dbias = k.out<T>(2);
  const std::vector<double> sum = SumRows<T>(rows, [=](int64_t i, int64_t) { return dy[i]; });
  const std::vector<double> dot =
      SumRows<T>(rows, [=](int64_t i, int64_t c) { return dy[i] * (x[i] - mean[c]); });
  // dx = factor * (dy - shift - slope * (x - mean))
  std::vector<T> factors(sum.size()), shifts(sum.size()), slopes(sum.size());
  for (size_t c = 0; c < sum.size(); ++c) {
    const double inverse = 1 / std::sqrt(var[c] + epsilon);
    dbias[c] = static_cast<T>(sum[c]);
    dscale[c] = static_cast<T>(dot[c] * inverse);
    factors[c] = static_cast<T>(scale[c] * inverse);
    shifts[c] = static_cast<T>(sum[c] / count);
    slopes[c] = static_cast<T>(dot[c] * inverse * inverse / count);
  }
  ForEachElement(
      rows, [=, f = factors.data(), s = shifts.data(), p = slopes.data()](int64_t i, int64_t c) {
        dx[i] = f[c] * (dy[i] - s[c] - p[c] * (x[i] - mean[c]));
      });
}

}  // namespace

void BatchNormChannelsLast(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { BatchNorm<T>(k); });
}
void BatchNormGradChannelsLast(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { BatchNormGrad<T>(k); });
}

}  // namespace gradwire
