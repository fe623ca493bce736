// Weighted gathers: each output is a sum of a few rows of the input, taps, chosen by indices and
// multiplied by weights. Resampling of images comes down to them: Resize, GridSample, RoiAlign,
// DeformConv. Three rows are each other's derivatives:
//   TapGather  (x, index, weight)        y[n,p] = sum over k of weight[n,p,k] x[n, index[n,p,k]]
//   TapScatter (y, index, weight) {size} its adjoint in x
//   TapDot     (x, index, y)             its adjoint in weight: x[n, index[n,p,k]] . y[n,p]
// where x is [N,M,C], y is [N,P,C], index and weight are [N,P,K] or, for every n alike, [1,P,K].
#include "ops/taps.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"

namespace gradwire {

void RefuseTap(int64_t index, int64_t rows) {
  throw Error(reason::kInvalidArgument, fmt::format("index {} is outside [0, {})", index, rows));
}

namespace {

constexpr int64_t kGrain = 1 << 14;

void CheckTaps(const OpCall& call, bool fits) {
  if (call.dtype(1) != DType::kInt64) {
    throw Error(reason::kDtypeMismatch,
                fmt::format("the index is {}, int64 is expected", ToString(call.spec(1))));
  }
  call.RequireSameType(2);
  if (fits) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("inputs {}, {} and {} do not fit together", ToString(call.spec(0)),
                          ToString(call.spec(1)), ToString(call.spec(2))));
}

// Whether `taps` are [N,P,K] or [1,P,K].
bool AreTaps(const Dims& taps, int64_t n, int64_t p) {
  return taps.size() == 3 && (taps[0] == n || taps[0] == 1) && taps[1] == p;
}

bool TapsAgree(const OpCall& call, int64_t p) {
  const int64_t n = call.dims(0)[0];
  return AreTaps(call.dims(1), n, p) && AreTaps(call.dims(2), n, p) &&
         call.dims(1)[2] == call.dims(2)[2];
}

Specs InferTapGather(const OpCall& call) {
  const bool ranks = call.rank(0) == 3 && call.rank(1) == 3;
  CheckTaps(call, ranks && TapsAgree(call, call.dims(1)[1]));
  return {{call.dtype(0), {call.dims(0)[0], call.dims(1)[1], call.dims(0)[2]}}};
}

Specs InferTapScatter(const OpCall& call) {
  CheckTaps(call, call.rank(0) == 3 && TapsAgree(call, call.dims(0)[1]));
  return {{call.dtype(0), {call.dims(0)[0], call.attributes().Int("size"), call.dims(0)[2]}}};
}

Specs InferTapDot(const OpCall& call) {
  const bool ranks = call.rank(0) == 3 && call.rank(1) == 3 && call.rank(2) == 3;
  CheckTaps(call, ranks && AreTaps(call.dims(1), call.dims(0)[0], call.dims(1)[1]) &&
                      call.dims(2) == Dims{call.dims(0)[0], call.dims(1)[1], call.dims(0)[2]});
  return {{call.dtype(0), {call.dims(0)[0], call.dims(1)[1], call.dims(1)[2]}}};
}

// Extents, and the taps of each output.
struct Taps {
  // Of x [N,M,C] and an index; throws INVALID_ARGUMENT unless each names a row of x.
  Taps(const Dims& x, const Tensor& index) : n(x[0]), m(x[1]), c(x[2]) {
    p = index.dims()[1];
    k = index.dims()[2];
    indices = index.data<int64_t>();
    index_stride = index.dims()[0] == 1 ? 0 : p * k;
    for (int64_t i = 0; i < index.numel() && n > 0; ++i) {
      if (indices[i] >= 0 && indices[i] < m) continue;
      RefuseTap(indices[i], m);
    }
  }
  const int64_t* IndexOf(int64_t batch, int64_t point) const {
    return indices + batch * index_stride + point * k;
  }

  int64_t n, m, c, p, k;
  const int64_t* indices;
  int64_t index_stride;
};

template <class T>
void GatherRow(const T* x, const int64_t* index, const T* weight, const Taps& taps, T* y) {
  if (taps.c == 1) {
    T sum = 0;
    for (int64_t k = 0; k < taps.k; ++k) sum += weight[k] * x[index[k]];
    *y = sum;
    return;
  }
  std::fill_n(y, taps.c, T{0});
  for (int64_t k = 0; k < taps.k; ++k) {
    const T w = weight[k];
    const T* row = x + index[k] * taps.c;
    if (w == T{0}) continue;
#pragma omp simd
    for (int64_t c = 0; c < taps.c; ++c) y[c] += w * row[c];
  }
}

void TapGatherCpu(KernelContext& context) {
  const Taps taps(context.input(0).dims(), context.input(1));
  const int64_t weight_stride = context.input(2).dims()[0] == 1 ? 0 : taps.p * taps.k;
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
    const T* x = context.in<T>(0);
    const T* weight = context.in<T>(2);
    T* y = context.out<T>(0);
    const int64_t cost = std::max<int64_t>(1, taps.k * taps.c);
    ParallelFor(taps.n * taps.p, kGrain / cost, [=, &taps](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t n = i / taps.p;
        const int64_t p = i % taps.p;
        GatherRow(x + n * taps.m * taps.c, taps.IndexOf(n, p),
                  weight + n * weight_stride + p * taps.k, taps, y + i * taps.c);
      }
    });
  });
}

// x += the rows of one n, in order.
template <class T>
void ScatterRows(const T* y, int64_t n, const T* weight, const Taps& taps, T* x) {
  for (int64_t p = 0; p < taps.p; ++p, y += taps.c, weight += taps.k) {
    const int64_t* index = taps.IndexOf(n, p);
    for (int64_t k = 0; k < taps.k; ++k) {
      const T w = weight[k];
      T* row = x + index[k] * taps.c;
      if (w == T{0}) continue;
#pragma omp simd
      for (int64_t c = 0; c < taps.c; ++c) row[c] += w * y[c];
    }
  }
}

void TapScatterCpu(KernelContext& context) {
  const Taps taps(context.output(0).dims(), context.input(1));
  const int64_t weight_stride = context.input(2).dims()[0] == 1 ? 0 : taps.p * taps.k;
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
    const T* y = context.in<T>(0);
    const T* weight = context.in<T>(2);
    T* x = context.out<T>(0);
    const int64_t cost = std::max<int64_t>(1, taps.p * taps.k * taps.c);
    ParallelFor(taps.n, kGrain / cost, [=, &taps](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        T* to = x + n * taps.m * taps.c;
        std::fill_n(to, taps.m * taps.c, T{0});
        ScatterRows(y + n * taps.p * taps.c, n, weight + n * weight_stride, taps, to);
      }
    });
  });
}

void TapDotCpu(KernelContext& context) {
  const Taps taps(context.input(0).dims(), context.input(1));
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
    const T* x = context.in<T>(0);
    const T* y = context.in<T>(2);
    T* weight = context.out<T>(0);
    const int64_t cost = std::max<int64_t>(1, taps.k * taps.c);
    ParallelFor(taps.n * taps.p, kGrain / cost, [=, &taps](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t n = i / taps.p;
        const int64_t* index = taps.IndexOf(n, i % taps.p);
        for (int64_t k = 0; k < taps.k; ++k) {
          const T* row = x + (n * taps.m + index[k]) * taps.c;
          T sum = 0;
#pragma omp simd reduction(+ : sum)
          for (int64_t c = 0; c < taps.c; ++c) sum += row[c] * y[i * taps.c + c];
          weight[i * taps.k + k] = sum;
        }
      }
    });
  });
}

Value TapGather(const Value& x, const Value& index, const Value& weight) {
  return Call("gradwire::TapGather", {x, index, weight});
}
Value TapScatter(const Value& y, const Value& index, const Value& weight, int64_t size) {
  return Call("gradwire::TapScatter", {y, index, weight}, {{"size", size}});
}
Value TapDot(const Value& x, const Value& index, const Value& y) {
  return Call("gradwire::TapDot", {x, index, y});
}

Values TapGatherVjp(const VjpCall& call) {
  const Value index = call.input(1);
  const int64_t size = call.input_spec(0).dims[1];
  return {call.needs(0) ? TapScatter(call.dy(), index, call.input(2), size) : Value(),
          {},
          call.needs(2) ? TapDot(call.input(0), index, call.dy()) : Value()};
}

Values TapScatterVjp(const VjpCall& call) {
  const Value index = call.input(1);
  return {call.needs(0) ? TapGather(call.dy(), index, call.input(2)) : Value(),
          {},
          call.needs(2) ? TapDot(call.dy(), index, call.input(0)) : Value()};
}

Values TapDotVjp(const VjpCall& call) {
  const Value index = call.input(1);
  const int64_t size = call.input_spec(0).dims[1];
  return {call.needs(0) ? TapScatter(call.input(2), index, call.dy(), size) : Value(),
          {},
          call.needs(2) ? TapGather(call.input(0), index, call.dy()) : Value()};
}

GRADWIRE_OP({.name = "TapGather",
             .domain = "gradwire",
             .inputs = 3,
             .infer = InferTapGather,
             .cpu = TapGatherCpu,
             .vjp = TapGatherVjp,
             .saves = kSaveInputs});
GRADWIRE_OP({.name = "TapScatter",
             .domain = "gradwire",
             .inputs = 3,
             .attributes = {"size"},
             .infer = InferTapScatter,
             .cpu = TapScatterCpu,
             .vjp = TapScatterVjp,
             .saves = kSaveInputs});
GRADWIRE_OP({.name = "TapDot",
             .domain = "gradwire",
             .inputs = 3,
             .infer = InferTapDot,
             .cpu = TapDotCpu,
             .vjp = TapDotVjp,
             .saves = kSaveInputs});

}  // namespace
}  // namespace gradwire
