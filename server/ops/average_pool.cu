#include <algorithm>

#include "backend/cuda/launch.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/sliding.cuh"

namespace gradwire::cuda {
namespace {

// A window, and how much of the padding counts in its divisor, before and after each axis.
struct Averaged {
  Sliding window;
  int64_t before[3];
  int64_t after[3];

  // 1 / (elements that count) of an output.
  template <class T>
  GRADWIRE_FN T Scale(const Point& output) const {
    int64_t product = 1;
    for (int d = 0; d < 3; ++d) {
      int64_t count = 0;
      for (int64_t tap = 0; tap < window.kernel[d]; ++tap) {
        const int64_t at =
            output.at[d] * window.stride[d] + tap * window.dilation[d] - window.begin[d];
        count += at >= -before[d] && at < window.in[d] + after[d] ? 1 : 0;
      }
      product *= count;
    }
    return T(1) / static_cast<T>(product < 1 ? 1 : product);
  }
};

template <class T>
struct Average {
  Averaged pool;
  const T* x;
  T* y;

  GRADWIRE_FN void operator()(int64_t i) const {
    const Sliding& w = pool.window;
    const T* plane = x + i / w.out_size() * w.in_size();
    const Point output = Sliding::Split(i % w.out_size(), w.out);
    Computed<T> sum = 0;
    w.ForInputsUnder(output, [&](int64_t at, int64_t) { sum += Loaded(plane[at]); });
    y[i] = sum * pool.Scale<Computed<T>>(output);
  }
};

template <class T>
struct AverageGrad {
  Averaged pool;
  const T* dy;
  T* dx;

  GRADWIRE_FN void operator()(int64_t i) const {
    const Sliding& w = pool.window;
    const T* plane = dy + i / w.in_size() * w.out_size();
    const Point input = Sliding::Split(i % w.in_size(), w.in);
    Computed<T> sum = 0;
    w.ForOutputsOver(input, [&](int64_t at, int64_t) {
      sum += Loaded(plane[at]) * pool.Scale<Computed<T>>(Sliding::Split(at, w.out));
    });
    dx[i] = sum;
  }
};

Averaged PoolOf(const Attributes& attributes, const Dims& x, const Dims& y) {
  const std::vector<int64_t>& shape = attributes.Ints("kernel_shape");
  const Window window = CanonicalWindow(attributes, Dims(shape.begin(), shape.end()));
  const size_t rank = shape.size();
  const std::vector<int64_t> counted =
      attributes.Ints("counted", std::vector<int64_t>(2 * rank, 0));
  Averaged pool{Sliding(Geometry(window, SpatialDims(x), SpatialDims(y))), {}, {}};
  for (size_t d = 0; d < rank; ++d) {
    pool.before[3 - rank + d] = counted[d];
    pool.after[3 - rank + d] = counted[rank + d];
  }
  return pool;
}

void AverageKernel(KernelContext& k) {
  const Averaged pool = PoolOf(k.attributes(), k.input(0).dims(), k.output(0).dims());
  Dispatch(WithHalves<FloatTypes>{}, k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), k.output(0).numel(), Average<T>{pool, k.in<T>(0), k.out<T>(0)});
  });
}

void AverageGradKernel(KernelContext& k) {
  const Averaged pool = PoolOf(k.attributes(), k.output(0).dims(), k.input(0).dims());
  Dispatch(WithHalves<FloatTypes>{}, k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), k.output(0).numel(), AverageGrad<T>{pool, k.in<T>(0), k.out<T>(0)});
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "AveragePool", 1, AverageKernel, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "AveragePoolGrad", 1, AverageGradKernel, kHalvesInAll);

}  // namespace
}  // namespace gradwire::cuda
