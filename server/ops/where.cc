// Where: moves elements of any type, by their size.
#include <fmt/format.h>

#include "core/strided.h"
#include "graph/formula.h"
#include "ops/elementwise.h"

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
void Select(const LoopCall& call) {
  const bool* c = call.in<bool>(0);
  const T* p = call.in<T>(1);
  const T* q = call.in<T>(2);
  T* y = call.out<T>();
  const auto [sc, sp, sq] = call.steps;
  const int64_t n = call.count;
  if (sc == 0) {
    const T* from = *c ? p : q;
    const int64_t step = *c ? sp : sq;
    for (int64_t i = 0; i < n; ++i) y[i] = from[i * step];
  } else if (sp == 1 && sq == 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = c[i] ? p[i] : q[i];
  } else if (sp == 1) {
    const T right = *q;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = c[i] ? p[i] : right;
  } else if (sq == 1) {
    const T left = *p;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = c[i] ? left : q[i];
  } else {
    const T left = *p;
    const T right = *q;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = c[i] ? left : right;
  }
}

Loop WhereLoop(DType /*input*/, DType output) {
  Loop loop;
  DispatchWidth(output, [&]<class T>() { loop = {Select<T>, kGrain}; });
  return loop;
}

Values WhereVjp(const VjpCall& call) {
  const Value condition = call.input(0);
  const Value zero = Scalar(0.0, call.dy().dtype());
  Values gradients(3);
  if (call.needs(1)) gradients[1] = Where(condition, call.dy(), zero);
  if (call.needs(2)) gradients[2] = Where(condition, zero, call.dy());
  return gradients;
}

GRADWIRE_OP(Elementwise<WhereLoop>({.name = "Where",
                                    .since = 9,
                                    .inputs = 3,
                                    .types = kBool,
                                    .other_types = DType::kString,
                                    .infer = WhereInfer,
                                    .vjp = WhereVjp,
                                    .saves = {1u, 0}}));

}  // namespace
}  // namespace gradwire
