// Where: moves elements of any type, by their size.
#include <fmt/format.h>

#include "graph/formula.h"
#include "ops/elementwise.h"
#include "ops/strided.h"

namespace gradwire {
namespace {

Specs WhereInfer(const OpCall& call) {
  const TensorSpec& x = call.spec(1);
  const TensorSpec& y = call.spec(2);
  if (x.dtype != y.dtype || !kMoved.Contains(x.dtype)) {
    throw Error(reason::kDtypeMismatch,
                fmt::format("X is {}, Y is {}: expected one element type of {}", ToString(x),
                            ToString(y), kMoved.ToString()));
  }
  return {{x.dtype, BroadcastDims(call.dims(0), BroadcastDims(x.dims, y.dims))}};
}

template <class T>
void Select(KernelContext& context) {
  const BroadcastLoop<3> loop(
      context.output(0).dims(),
      {context.input(0).dims(), context.input(1).dims(), context.input(2).dims()});
  const bool* condition = context.in<bool>(0);
  const T* a = context.in<T>(1);
  const T* b = context.in<T>(2);
  T* y = context.out<T>(0);
  const int64_t sc = loop.inner()[0];
  const int64_t sa = loop.inner()[1];
  const int64_t sb = loop.inner()[2];
  ParallelFor(loop.total(), 1 << 15, [=, &loop](int64_t begin, int64_t end) {
    loop.Run(begin, end, [=](const std::array<int64_t, 3>& at, int64_t out, int64_t count) {
      const bool* c = condition + at[0];
      const T* p = a + at[1];
      const T* q = b + at[2];
      T* to = y + out;
      if (sc == 0) {
        const T* from = *c ? p : q;
        const int64_t step = *c ? sa : sb;
        for (int64_t i = 0; i < count; ++i) to[i] = from[i * step];
      } else if (sa == 1 && sb == 1) {
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) to[i] = c[i] ? p[i] : q[i];
      } else if (sa == 1) {
        const T right = *q;
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) to[i] = c[i] ? p[i] : right;
      } else if (sb == 1) {
        const T left = *p;
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) to[i] = c[i] ? left : q[i];
      } else {
        const T left = *p;
        const T right = *q;
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) to[i] = c[i] ? left : right;
      }
    });
  });
}

void WhereCpu(KernelContext& context) {
  DispatchWidth(context.output(0).dtype(), [&]<class T>() { Select<T>(context); });
}

Values WhereVjp(const VjpCall& call) {
  const Value condition = call.input(0);
  const Value zero = Scalar(0.0, call.dy().dtype());
  Values gradients(3);
  if (call.needs(1)) gradients[1] = Where(condition, call.dy(), zero);
  if (call.needs(2)) gradients[2] = Where(condition, zero, call.dy());
  return gradients;
}

GRADWIRE_OP({.name = "Where",
             .since = 9,
             .inputs = 3,
             .types = kBool,
             .other_types = DType::kString,
             .infer = WhereInfer,
             .cpu = WhereCpu,
             .vjp = WhereVjp,
             .saves = {1u, 0},
             .in_place = true});

}  // namespace
}  // namespace gradwire
