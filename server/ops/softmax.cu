#include <limits>

#include "backend/cuda/launch.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

struct Add {
  template <class T>
  GRADWIRE_FN T operator()(T a, T b) const {
    return a + b;
  }
};

struct Larger {
  template <class T>
  GRADWIRE_FN T operator()(T a, T b) const {
    return b > a ? b : a;
  }
};

// A row is the axis at one place of the others.
struct Rows {
  int64_t extent;
  int64_t inner;

  GRADWIRE_FN int64_t First(int64_t row) const {
    return row / inner * extent * inner + row % inner;
  }
};

template <bool kLog, class T>
struct SoftmaxRow {
  const T* x;
  T* y;
  Rows rows;

  GRADWIRE_DEVICE void operator()(const Team& team, int64_t row) const {
    using C = Computed<T>;
    const T* from = x + rows.First(row);
    T* to = y + rows.First(row);
    C max = -std::numeric_limits<C>::infinity();
    for (int64_t k = team.rank(); k < rows.extent; k += team.size()) {
      max = Larger()(max, Loaded(from[k * rows.inner]));
    }
    max = team.Combine(max, Larger());
    C sum = 0;
    for (int64_t k = team.rank(); k < rows.extent; k += team.size()) {
      sum += math::Exp(Loaded(from[k * rows.inner]) - max);
    }
    sum = team.Combine(sum, Add());
    const C log_sum = kLog ? std::log(sum) : C(0);
    const C scale = C(1) / sum;
    for (int64_t k = team.rank(); k < rows.extent; k += team.size()) {
      const C above = Loaded(from[k * rows.inner]) - max;
      to[k * rows.inner] = kLog ? above - log_sum : math::Exp(above) * scale;
    }
  }
};

// y (dy - sum(dy y)), or dy - exp(y) sum(dy).
template <bool kLog, class T>
struct GradientRow {
  const T* dy;
  const T* y;
  T* dx;
  Rows rows;

  GRADWIRE_DEVICE void operator()(const Team& team, int64_t row) const {
    const int64_t first = rows.First(row);
    Computed<T> sum = 0;
    for (int64_t k = team.rank(); k < rows.extent; k += team.size()) {
      const int64_t at = first + k * rows.inner;
      sum += kLog ? Loaded(dy[at]) : Loaded(dy[at]) * Loaded(y[at]);
    }
    sum = team.Combine(sum, Add());
    for (int64_t k = team.rank(); k < rows.extent; k += team.size()) {
      const int64_t at = first + k * rows.inner;
      const Computed<T> g = Loaded(dy[at]);
      dx[at] = kLog ? g - math::Exp(Loaded(y[at])) * sum : Loaded(y[at]) * (g - sum);
    }
  }
};

// A scalar is softmaxed as [1].
AxisSplit SplitOf(KernelContext& context) {
  const Tensor& x = context.input(0);
  const Dims dims = x.rank() == 0 ? Dims{1} : x.dims();
  const int64_t axis = context.attributes().Int("axis", -1);
  return SplitAt(dims, NormalizeAxis(axis, static_cast<int>(dims.size())));
}

template <bool kLog>
void SoftmaxKernel(KernelContext& context) {
  const AxisSplit split = SplitOf(context);
  if (split.axis == 0) return;
  Dispatch(WithHalves<FloatTypes>{}, context.input(0).dtype(), [&]<class T>() {
    ForRows(context.stream(), split.outer * split.inner, split.axis,
            SoftmaxRow<kLog, T>{context.in<T>(0), context.out<T>(0), {split.axis, split.inner}});
  });
}

template <bool kLog>
void GradientKernel(KernelContext& context) {
  const AxisSplit split = SplitOf(context);
  if (split.axis == 0) return;
  Dispatch(WithHalves<FloatTypes>{}, context.input(0).dtype(), [&]<class T>() {
    ForRows(context.stream(), split.outer * split.inner, split.axis,
            GradientRow<kLog, T>{
                context.in<T>(0), context.in<T>(1), context.out<T>(0), {split.axis, split.inner}});
  });
}

GRADWIRE_CUDA_KERNEL("", "Softmax", 13, SoftmaxKernel<false>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("", "LogSoftmax", 13, SoftmaxKernel<true>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "SoftmaxGrad", 1, GradientKernel<false>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "LogSoftmaxGrad", 1, GradientKernel<true>, kHalvesInAll);

}  // namespace
}  // namespace gradwire::cuda
