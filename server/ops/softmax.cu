#include <limits>

#include "backend/cuda/launch.h"
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
    const T* from = x + rows.First(row);
    T* to = y + rows.First(row);
    T max = -std::numeric_limits<T>::infinity();
    for (int64_t k = team.rank(); k < rows.extent; k += team.size()) {
      max = Larger()(max, from[k * rows.inner]);
    }
    max = team.Combine(max, Larger());
    T sum = 0;
    for (int64_t k = team.rank(); k < rows.extent; k += team.size()) {
      sum += math::Exp(from[k * rows.inner] - max);
    }
    sum = team.Combine(sum, Add());
    const T log_sum = kLog ? std::log(sum) : T(0);
    const T scale = T(1) / sum;
    for (int64_t k = team.rank(); k < rows.extent; k += team.size()) {
      const T above = from[k * rows.inner] - max;
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
    T sum = 0;
    for (int64_t k = team.rank(); k < rows.extent; k += team.size()) {
      const int64_t at = first + k * rows.inner;
      sum += kLog ? dy[at] : dy[at] * y[at];
    }
    sum = team.Combine(sum, Add());
    for (int64_t k = team.rank(); k < rows.extent; k += team.size()) {
      const int64_t at = first + k * rows.inner;
      dx[at] = kLog ? dy[at] - math::Exp(y[at]) * sum : y[at] * (dy[at] - sum);
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
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
    ForRows(context.stream(), split.outer * split.inner, split.axis,
            SoftmaxRow<kLog, T>{context.in<T>(0), context.out<T>(0), {split.axis, split.inner}});
  });
}

template <bool kLog>
void GradientKernel(KernelContext& context) {
  const AxisSplit split = SplitOf(context);
  if (split.axis == 0) return;
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
    ForRows(context.stream(), split.outer * split.inner, split.axis,
            GradientRow<kLog, T>{
                context.in<T>(0), context.in<T>(1), context.out<T>(0), {split.axis, split.inner}});
  });
}

GRADWIRE_CUDA_KERNEL("", "Softmax", 13, SoftmaxKernel<false>);
GRADWIRE_CUDA_KERNEL("", "LogSoftmax", 13, SoftmaxKernel<true>);
GRADWIRE_CUDA_KERNEL("gradwire", "SoftmaxGrad", 1, GradientKernel<false>);
GRADWIRE_CUDA_KERNEL("gradwire", "LogSoftmaxGrad", 1, GradientKernel<true>);

}  // namespace
}  // namespace gradwire::cuda
