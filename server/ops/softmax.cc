// Softmax, LogSoftmax and Hardmax along an axis. Own loops for every type: oneDNN's softmax loses
// NaN.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/range.h"
#include "ops/real_math.h"

namespace gradwire {
namespace {

// A scalar is softmaxed as [1].
AxisSplit SplitOf(const Tensor& x, const Attributes& attributes) {
  const Dims dims = x.rank() == 0 ? Dims{1} : x.dims();
  return SplitAt(dims, NormalizeAxis(attributes.Int("axis", -1), static_cast<int>(dims.size())));
}

Specs InferSoftmax(const OpCall& call) {
  NormalizeAxis(call.attributes().Int("axis", -1), std::max(1, call.rank(0)));
  return {call.spec(0)};
}

// Sums x over the softmax axis.
Value SumAlong(const Value& x, int64_t axis) {
  if (x.rank() == 0) return x;
  return Sum(x, {NormalizeAxis(axis, x.rank())}, /*keepdims=*/true);
}

template <class T>
T MaxOf(const T* x, int64_t count) {
  T max = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : max)
  for (int64_t i = 0; i < count; ++i) max = x[i] > max ? x[i] : max;
  return max;
}

// Two loops: GCC 12 does not vectorise exponentials that are summed where they are made.
template <class T>
T ExpOfDifferences(const T* __restrict x, T max, T* __restrict y, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) y[i] = math::Exp(x[i] - max);
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += y[i];
  return sum;
}

template <bool kLog, class T>
void SoftmaxRow(const T* __restrict x, T* __restrict y, int64_t count) {
  const T max = MaxOf(x, count);
  const T sum = ExpOfDifferences(x, max, y, count);
  const T log_sum = kLog ? std::log(sum) : 0;
  const T scale = 1 / sum;
  for (int64_t i = 0; i < count; ++i) y[i] = kLog ? (x[i] - max) - log_sum : y[i] * scale;
}

constexpr int64_t kTile = 256;

// Up to kTile neighbours at once, each along an axis of that stride.
template <bool kLog, class T>
void SoftmaxTile(const T* __restrict x, T* __restrict y, int64_t extent, int64_t stride,
                 int64_t width) {
  T max[kTile];
  T sum[kTile];
  std::fill_n(max, width, -std::numeric_limits<T>::infinity());
  std::fill_n(sum, width, T{0});
  for (int64_t k = 0; k < extent; ++k) {
    const T* from = x + k * stride;
    for (int64_t j = 0; j < width; ++j) max[j] = from[j] > max[j] ? from[j] : max[j];
  }
  for (int64_t k = 0; k < extent; ++k) {
    const T* from = x + k * stride;
    T* to = y + k * stride;
    for (int64_t j = 0; j < width; ++j) {
      const T e = math::Exp(from[j] - max[j]);
      to[j] = kLog ? from[j] - max[j] : e;
      sum[j] += e;
    }
  }
  for (int64_t j = 0; j < width; ++j) sum[j] = kLog ? std::log(sum[j]) : 1 / sum[j];
  for (int64_t k = 0; k < extent; ++k) {
    T* to = y + k * stride;
    for (int64_t j = 0; j < width; ++j) to[j] = kLog ? to[j] - sum[j] : to[j] * sum[j];
  }
}

// Calls f(offset of the first element, width) for every tile of neighbours, in parallel.
template <class F>
void ForTiles(const AxisSplit& split, F&& f) {
  const int64_t tiles = (split.inner + kTile - 1) / kTile;
  const int64_t work = split.axis * std::min(split.inner, kTile);
  if (work == 0) return;
  ParallelFor(split.outer * tiles, (1 << 13) / work, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % tiles * kTile;
      f(i / tiles * split.axis * split.inner + first, std::min(kTile, split.inner - first));
    }
  });
}

template <bool kLog>
void SoftmaxKernel(KernelContext& context) {
  const AxisSplit split = SplitOf(context.input(0), context.attributes());
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
    const T* x = context.in<T>(0);
    T* y = context.out<T>(0);
    ForTiles(split, [&](int64_t at, int64_t width) {
      if (split.inner == 1) {
        SoftmaxRow<kLog>(x + at, y + at, split.axis);
      } else {
        SoftmaxTile<kLog>(x + at, y + at, split.axis, split.inner, width);
      }
    });
  });
}

// Gradient from dy and y in one pass: y (dy - sum(dy y)), or dy - exp(y) sum(dy).
template <bool kLog, class T>
void GradientTile(const T* __restrict dy, const T* __restrict y, T* __restrict dx, int64_t extent,
                  int64_t stride, int64_t width) {
  T sum[kTile] = {};
  if (stride == 1) {
    T total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t k = 0; k < extent; ++k) total += kLog ? dy[k] : dy[k] * y[k];
    for (int64_t k = 0; k < extent; ++k) {
      dx[k] = kLog ? dy[k] - math::Exp(y[k]) * total : y[k] * (dy[k] - total);
    }
    return;
  }
  for (int64_t k = 0; k < extent; ++k) {
    for (int64_t j = 0; j < width; ++j) {
      const int64_t at = k * stride + j;
      sum[j] += kLog ? dy[at] : dy[at] * y[at];
    }
  }
  for (int64_t k = 0; k < extent; ++k) {
    for (int64_t j = 0; j < width; ++j) {
      const int64_t at = k * stride + j;
      dx[at] = kLog ? dy[at] - math::Exp(y[at]) * sum[j] : y[at] * (dy[at] - sum[j]);
    }
  }
}

template <bool kLog>
void GradientKernel(KernelContext& context) {
  const AxisSplit split = SplitOf(context.input(0), context.attributes());
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
    const T* dy = context.in<T>(0);
    const T* y = context.in<T>(1);
    T* dx = context.out<T>(0);
    ForTiles(split, [&](int64_t at, int64_t width) {
      GradientTile<kLog>(dy + at, y + at, dx + at, split.axis, split.inner, width);
    });
  });
}

Values DecomposeSoftmaxGrad(const OpCall& call) {
  const Value dy = call.input(0);
  const Value y = call.input(1);
  return {y * (dy - SumAlong(dy * y, call.attributes().Int("axis", -1)))};
}

Values DecomposeLogSoftmaxGrad(const OpCall& call) {
  const Value dy = call.input(0);
  return {dy - Exp(call.input(1)) * SumAlong(dy, call.attributes().Int("axis", -1))};
}

Values SoftmaxVjp(const VjpCall& call) {
  return {Call("gradwire::SoftmaxGrad", {call.dy(), call.output(0)}, call.attributes())};
}

Values LogSoftmaxVjp(const VjpCall& call) {
  return {Call("gradwire::LogSoftmaxGrad", {call.dy(), call.output(0)}, call.attributes())};
}

GRADWIRE_OP({.name = "Softmax",
             .since = 13,
             .attributes = {"axis"},
             .infer = InferSoftmax,
             .cpu = SoftmaxKernel<false>,
             .vjp = SoftmaxVjp,
             .saves = kSaveOutputs});
GRADWIRE_OP({.name = "LogSoftmax",
             .since = 13,
             .attributes = {"axis"},
             .infer = InferSoftmax,
             .cpu = SoftmaxKernel<true>,
             .vjp = LogSoftmaxVjp,
             .saves = kSaveOutputs});
GRADWIRE_OP({.name = "SoftmaxGrad",
             .domain = "gradwire",
             .inputs = 2,
             .attributes = {"axis"},
             .infer = InferSoftmax,
             .cpu = GradientKernel<false>,
             .decompose = DecomposeSoftmaxGrad});
GRADWIRE_OP({.name = "LogSoftmaxGrad",
             .domain = "gradwire",
             .inputs = 2,
             .attributes = {"axis"},
             .infer = InferSoftmax,
             .cpu = GradientKernel<true>,
             .decompose = DecomposeLogSoftmaxGrad});

// 1 at the first maximum, 0 elsewhere.
Values DecomposeHardmax(const OpCall& call) {
  const Value x = call.input(0);
  if (x.rank() == 0) return {Full({}, 1.0, x.dtype())};
  const int axis = call.Axis("axis", -1);
  const int64_t extent = x.dims()[static_cast<size_t>(axis)];
  if (extent == 0) return {x};
  const Value at = Call("ArgMax", {x}, {{"axis", int64_t{axis}}, {"keepdims", int64_t{1}}});
  return {Cast(Equal(at, IotaAlong(axis, x.rank(), extent)), x.dtype())};
}

void HardmaxKernel(KernelContext& context) {
  const AxisSplit split = SplitOf(context.input(0), context.attributes());
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
    const T* x = context.in<T>(0);
    T* y = context.out<T>(0);
    ForTiles(split, [&](int64_t at, int64_t width) {
      for (int64_t j = at; j < at + width; ++j) {
        int64_t best = j;
        for (int64_t k = 0; k < split.axis; ++k) {
          const int64_t i = j + k * split.inner;
          y[i] = 0;
          // As in ArgMax, a NaN is above all.
          if (x[i] > x[best] || (x[i] != x[i] && x[best] == x[best])) best = i;
        }
        y[best] = 1;
      }
    });
  });
}

// Constant between its jumps.
Values HardmaxVjp(const VjpCall& call) { return {ZerosLike(call.input_spec(0))}; }

GRADWIRE_OP({.name = "Hardmax",
             .since = 13,
             .attributes = {"axis"},
             .infer = InferSoftmax,
             .cpu = HardmaxKernel,
             .decompose = DecomposeHardmax,
             .vjp = HardmaxVjp});

// Before opset 13 all axes from `axis` on counted as one.
Values DecomposeFlattened(const OpCall& call) {
  const Value flat = Call("Flatten", {call.input(0)}, {{"axis", call.attributes().Int("axis", 1)}});
  const Value y = Call(call.op().name, {flat}, {{"axis", int64_t{1}}});
  return {Reshape(y, call.dims(0))};
}

GRADWIRE_OP({.name = "Softmax", .attributes = {"axis"}, .decompose = DecomposeFlattened});
GRADWIRE_OP({.name = "LogSoftmax", .attributes = {"axis"}, .decompose = DecomposeFlattened});
GRADWIRE_OP({.name = "Hardmax", .attributes = {"axis"}, .decompose = DecomposeFlattened});

}  // namespace
}  // namespace gradwire
