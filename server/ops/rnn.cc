// A plain recurrent network over a whole sequence, forward and back: y[t] = act(fed[t] + h R'),
// with h the y of the step before, and act tanh or, with `relu`, max(0, .).
#include <fmt/format.h>

#include "core/widest.h"
#include "graph/flops.h"
#include "ops/product.h"
#include "ops/time_steps.h"

namespace gradwire {
namespace {

bool IsRelu(const Attributes& attributes) { return attributes.Int("relu", 0) != 0; }

// Of fed[length, batch, hidden], R[hidden, hidden] and the initial h[batch, hidden]: y, like fed.
Specs InferRnn(const OpCall& call) {
  const TensorSpec& fed = call.spec(0);
  for (size_t i = 1; i < 3; ++i) call.RequireSameType(i);
  if (fed.rank() == 3 && call.dims(1) == Dims{fed.dims[2], fed.dims[2]} &&
      call.dims(2) == Dims{fed.dims[1], fed.dims[2]}) {
    return {fed};
  }
  throw Error(
      reason::kShapeMismatch,
      fmt::format(
          "fed, R and the initial h are {}: [t,b,n], [n,n] and [b,n] are expected, of one type",
          SpecsOf(call)));
}

template <class T, class Activation>
void RnnCpu(KernelContext& k) {
  const TimeSteps steps(k.output(0).dims(), k.attributes());
  const int64_t n = steps.hidden;
  const T *fed = k.in<T>(0), *initial = k.in<T>(2);
  T* y = k.out<T>(0);
  const PackedMatrix<T> r(k.stream(), {k.in<T>(1), 1, n}, n, n);
  ForRowsOf(steps, 1, [&](int64_t begin, int64_t end) {
    for (int64_t step = 0; step < steps.length; ++step) {
      const int64_t first = (steps.Time(step) * steps.batch + begin) * n;
      const T* const h = steps.Before<T>(step, y, initial) + begin * n;
      r.Multiply(h, n, end - begin, y + first, n, false);
      const RnnCell<T, Activation> cell{fed + first, y + first};
      RunWidest([&] {
#pragma omp simd
        for (int64_t i = 0; i < (end - begin) * n; ++i) cell(i);
      });
    }
  });
}

Values DecomposeRnn(const OpCall& call) {
  const Specs specs = InferRnn(call);
  const TimeSteps steps(specs[0].dims, call.attributes());
  const Steps fed(call.input(0));
  Values y(static_cast<size_t>(steps.length));
  Value h = call.input(2);
  for (int64_t step = 0; step < steps.length; ++step) {
    const int64_t t = steps.Time(step);
    const Value sum = fed[t] + MatMul(h, call.input(1), false, true);
    y[static_cast<size_t>(t)] = h = IsRelu(call.attributes()) ? Call("Relu", {sum}) : Tanh(sum);
  }
  return {Stack(y, specs[0])};
}

Values RnnVjp(const VjpCall& call) {
  const Values all = ApplyAll("gradwire::RnnGrad", {call.output(0), call.input(1), call.dy()},
                              call.attributes(), 2);
  Values gradients = {all[0], Value(), all[1]};
  if (call.needs(1)) {
    const TimeSteps steps(call.output_spec(0).dims, call.attributes());
    gradients[1] = ProductGrad(steps, all[0], call.output(0), call.input(2));
  }
  return gradients;
}

// Of y, R and the gradient of y: those of fed and of the initial h.
Specs InferRnnGrad(const OpCall& call) {
  const TensorSpec& y = call.spec(0);
  if (y.rank() == 3 && call.spec(2) == y &&
      call.spec(1) == TensorSpec{y.dtype, {y.dims[2], y.dims[2]}}) {
    return {y, {y.dtype, {y.dims[1], y.dims[2]}}};
  }
  throw Error(
      reason::kShapeMismatch,
      fmt::format(
          "y, R and the gradient of y are {}: [t,b,n], [n,n] and [t,b,n] are expected, of one type",
          SpecsOf(call)));
}

template <class T, class ActivationGrad>
void RnnGradCpu(KernelContext& k) {
  const TimeSteps steps(k.input(0).dims(), k.attributes());
  const int64_t n = steps.hidden;
  const T *y = k.in<T>(0), *dy = k.in<T>(2);
  T *dfed = k.out<T>(0), *dh_sum = k.out<T>(1);
  std::fill_n(dh_sum, steps.StateSize(), T{0});
  const PackedMatrix<T> r(k.stream(), {k.in<T>(1), n, 1}, n, n);
  ForRowsOf(steps, 1, [&](int64_t begin, int64_t end) {
    T* const sums = dh_sum + begin * n;
    for (int64_t step = steps.length; step-- > 0;) {
      const int64_t first = (steps.Time(step) * steps.batch + begin) * n;
      const RnnGradCell<T, ActivationGrad> cell{y + first, dy + first, sums, dfed + first};
#pragma omp simd
      for (int64_t i = 0; i < (end - begin) * n; ++i) cell(i);
      r.Multiply(dfed + first, n, end - begin, sums, n, false);
    }
  });
}

Values DecomposeRnnGrad(const OpCall& call) {
  const Specs specs = InferRnnGrad(call);
  const TimeSteps steps(call.dims(0), call.attributes());
  const Steps y(call.input(0)), dy(call.input(2));
  Values dfed(static_cast<size_t>(steps.length));
  Value dh = ZerosLike(specs[1]);
  for (int64_t step = steps.length; step-- > 0;) {
    const int64_t t = steps.Time(step);
    const bool relu = IsRelu(call.attributes());
    const Value dsum = Call(relu ? "gradwire::ReluGrad" : "gradwire::TanhGrad", {dh + dy[t], y[t]});
    dfed[static_cast<size_t>(t)] = dsum;
    dh = MatMul(dsum, call.input(1));
  }
  return {Stack(dfed, specs[0]), dh};
}

void DispatchRnn(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() {
    IsRelu(k.attributes()) ? RnnCpu<T, fn::Relu>(k) : RnnCpu<T, fn::Tanh>(k);
  });
}
void DispatchRnnGrad(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() {
    IsRelu(k.attributes()) ? RnnGradCpu<T, fn::ReluGrad>(k) : RnnGradCpu<T, fn::TanhGrad>(k);
  });
}

// Of the products with R.
int64_t RnnFlops(const Node& node) {
  const TensorSpec& y = node.output_slot(0)->spec;
  return 2 * y.numel() * y.dims[2];
}

GRADWIRE_OP({.name = "Rnn",
             .domain = "gradwire",
             .inputs = 3,
             .attributes = {"relu", "reverse"},
             .infer = InferRnn,
             .cpu = DispatchRnn,
             .decompose = DecomposeRnn,
             .vjp = RnnVjp,
             .saves = {.inputs = 0b110, .outputs = 0b1}});
GRADWIRE_FLOPS("gradwire", "Rnn", RnnFlops);
GRADWIRE_OP({.name = "RnnGrad",
             .domain = "gradwire",
             .inputs = 3,
             .outputs = {1, 2},
             .attributes = {"relu", "reverse"},
             .infer = InferRnnGrad,
             .cpu = DispatchRnnGrad,
             .decompose = DecomposeRnnGrad});
GRADWIRE_FLOPS("gradwire", "RnnGrad", RnnFlops);

}  // namespace
}  // namespace gradwire
