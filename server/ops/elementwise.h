// Elementwise operators on the CPU: loops over functors, with NumPy's broadcasting, and the
// contracts that such operators share.
#ifndef GRADWIRE_OPS_ELEMENTWISE_H_
#define GRADWIRE_OPS_ELEMENTWISE_H_

#include <algorithm>
#include <utility>

#include "core/parallel.h"
#include "graph/kernel.h"
#include "graph/op_call.h"
#include "ops/broadcast.h"

namespace gradwire {

// Contracts. The output is like input 0; or as both inputs, of one type, broadcast; or bool.
Specs SameAsInput(const OpCall& call);
Specs BroadcastOfInputs(const OpCall& call);
Specs BoolBroadcastOfInputs(const OpCall& call);
Specs BoolLikeInput(const OpCall& call);

// Before opset 7 input 1 broadcast only with attribute `broadcast`, its first dimension aligned to
// `axis` of input 0. Decomposes into the operator's newest row.
Values DecomposeAxisBroadcast(const OpCall& call);

// Elements worth a thread's wake-up; functors that cost much say kSlow.
inline constexpr int64_t kGrain = 1 << 15;
template <class F>
constexpr int64_t Grain() {
  if constexpr (requires { F::kSlow; }) return 1 << 12;
  return kGrain;
}

// A functor of a call: with the call's parameters, where it has any.
template <class F>
F MakeFunctor(const Attributes& attributes) {
  if constexpr (requires { F::Make(attributes); }) return F::Make(attributes);
  if constexpr (!requires { F::Make(attributes); }) return F{};
}

// y[i] = f(x[i]).
template <class T, class R, class F>
void MapRun(const T* x, R* y, int64_t n, F f) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = f(x[i]);
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

// Loops of a functor on the element types of a list.
template <class F, class Types>
Loop UnaryLoop(DType input, DType /*output*/) {
  Loop loop;
  Dispatch(Types{}, input, [&]<class T>() {
    using R = decltype(std::declval<F>()(T()));
    loop = {[](const LoopCall& call) {
              MapRun(call.in<T>(0), call.out<R>(), call.count, MakeFunctor<F>(call.attributes));
            },
            Grain<F>()};
  });
  return loop;
}

template <class F, class Types>
Loop BinaryLoop(DType input, DType /*output*/) {
  Loop loop;
  Dispatch(Types{}, input, [&]<class T>() {
    using R = decltype(std::declval<F>()(T(), T()));
    loop = {[](const LoopCall& call) {
              MapRun(call.in<T>(0), call.in<T>(1), call.out<R>(),
                     {call.steps[0], call.steps[1], call.count}, MakeFunctor<F>(call.attributes));
            },
            Grain<F>()};
  });
  return loop;
}

// The kernel of an operator with a loop: runs it over the whole of the context's arrays.
void RunLoop(KernelContext& context, const Loop& loop);

template <LoopOf kLoopOf>
void LoopKernel(KernelContext& context) {
  RunLoop(context, kLoopOf(context.input(0).dtype(), context.output(0).dtype()));
}

// A row with the kernel of a loop.
template <LoopOf kLoopOf>
OpDef Elementwise(OpDef row) {
  row.cpu = LoopKernel<kLoopOf>;
  row.loop = kLoopOf;
  row.in_place = true;
  return row;
}

// The row of a unary functor on floating elements.
template <class F>
OpDef UnaryRow(std::string_view name, int since, Vjp vjp, Saves saves,
               const std::vector<std::string_view>& attributes = {"consumed_inputs"}) {
  return Elementwise<UnaryLoop<F, FloatTypes>>({.name = name,
                                                .since = since,
                                                .attributes = attributes,
                                                .infer = SameAsInput,
                                                .vjp = vjp,
                                                .saves = saves});
}

}  // namespace gradwire

#endif  // GRADWIRE_OPS_ELEMENTWISE_H_
