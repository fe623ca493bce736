// Elementwise operators on the CPU: loops over functors, with NumPy's broadcasting, and the
// contracts that such operators share.
#ifndef GRADWIRE_OPS_ELEMENTWISE_H_
#define GRADWIRE_OPS_ELEMENTWISE_H_

#include <algorithm>
#include <array>
#include <utility>

#include "core/parallel.h"
#include "graph/kernel.h"
#include "graph/op_call.h"

namespace gradwire {

// Contracts. The output is like input 0; or as both inputs, of one type, broadcast; or bool.
Specs SameAsInput(const OpCall& call);
Specs BroadcastOfInputs(const OpCall& call);
Specs BoolBroadcastOfInputs(const OpCall& call);
Specs BoolLikeInput(const OpCall& call);

// Before opset 7 input 1 broadcast only with attribute `broadcast`, its first dimension aligned to
// `axis` of input 0. Decomposes into the operator's newest row.
Values DecomposeAxisBroadcast(const OpCall& call);

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

// Elements worth a thread's wake-up; functors that cost much say kSlow.
template <class F>
constexpr int64_t Grain() {
  if constexpr (requires { F::kSlow; }) return 1 << 12;
  return 1 << 15;
}

// A functor of a call: with the call's parameters, where it has any.
template <class F>
F MakeFunctor(const Attributes& attributes) {
  if constexpr (requires { F::Make(attributes); }) return F::Make(attributes);
  if constexpr (!requires { F::Make(attributes); }) return F{};
}

// y[i] = f(x[i]). y may be x.
template <class T, class R, class F>
void Map(const T* x, R* y, int64_t n, F f) {
  ParallelFor(n, Grain<F>(), [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) y[i] = f(x[i]);
  });
}

// A run of `count` elements along which each operand steps by 0 or 1.
struct BinaryRun {
  int64_t stride_a;
  int64_t stride_b;
  int64_t count;
};

// y[i] = f(a[i or 0], b[i or 0]).
template <class T, class R, class F>
void MapRun(const T* a, const T* b, R* y, const BinaryRun& run, F f) {
  const int64_t n = run.count;
  if (run.stride_a == 1 && run.stride_b == 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (run.stride_a == 1) {
    const T right = *b;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], right);
  } else if (run.stride_b == 1) {
    const T left = *a;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = f(left, b[i]);
  } else {
    std::fill_n(y, n, f(*a, *b));
  }
}

// y = f(a, b), broadcast. y may be a or b where that has y's shape.
template <class T, class R, class F>
void MapBroadcast(const T* a, const T* b, R* y, const BroadcastLoop<2>& loop, F f) {
  const std::array<int64_t, 2> inner = loop.inner();
  ParallelFor(loop.total(), Grain<F>(), [=, &loop](int64_t begin, int64_t end) {
    loop.Run(begin, end, [=](const std::array<int64_t, 2>& at, int64_t out, int64_t count) {
      MapRun(a + at[0], b + at[1], y + out, {inner[0], inner[1], count}, f);
    });
  });
}

// Kernels of a functor on the element types of a list.
template <class F, class Types>
void UnaryKernel(KernelContext& context) {
  Dispatch(Types{}, context.input(0).dtype(), [&]<class T>() {
    const F f = MakeFunctor<F>(context.attributes());
    using R = decltype(f(T()));
    Map(context.in<T>(0), context.out<R>(0), context.input(0).numel(), f);
  });
}

template <class F, class Types>
void BinaryKernel(KernelContext& context) {
  const BroadcastLoop<2> loop(context.output(0).dims(),
                              {context.input(0).dims(), context.input(1).dims()});
  Dispatch(Types{}, context.input(0).dtype(), [&]<class T>() {
    const F f = MakeFunctor<F>(context.attributes());
    using R = decltype(f(T(), T()));
    MapBroadcast(context.in<T>(0), context.in<T>(1), context.out<R>(0), loop, f);
  });
}

// The row of a unary functor on floating elements.
template <class F>
OpDef UnaryRow(std::string_view name, int since, Vjp vjp, Saves saves,
               const std::vector<std::string_view>& attributes = {"consumed_inputs"}) {
  return {.name = name,
          .since = since,
          .attributes = attributes,
          .infer = SameAsInput,
          .cpu = UnaryKernel<F, FloatTypes>,
          .vjp = vjp,
          .saves = saves,
          .in_place = true};
}

}  // namespace gradwire

#endif  // GRADWIRE_OPS_ELEMENTWISE_H_
