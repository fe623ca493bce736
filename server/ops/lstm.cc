// LSTM over a whole sequence, forward and back. At time t, with h and c of the step before,
//   [i o f g] = act(fed[t] + h R'),  c[t] = f c + i g,  y[t] = o tanh(c[t]),
// where act is the logistic function for the gates i, o and f, and tanh for the candidate g.
#include <fmt/format.h>

#include "core/widest.h"
#include "graph/flops.h"
#include "ops/binary_functors.h"
#include "ops/product.h"
#include "ops/time_steps.h"
#include "ops/unary_functors.h"

namespace gradwire {
namespace {

// ---- Forward

// Of fed[length, batch, 4 hidden], R[4 hidden, hidden] and the initial h and c[batch, hidden]:
// y and c[length, batch, hidden], and the gates [length, batch, 4 hidden].
Specs InferLstm(const OpCall& call) {
  const TensorSpec& fed = call.spec(0);
  for (size_t i = 1; i < 4; ++i) call.RequireSameType(i);
  if (fed.rank() == 3 && call.rank(1) == 2) {
    const int64_t hidden = call.dims(1)[1];
    const Dims state = {fed.dims[1], hidden};
    if (call.dims(1)[0] == 4 * hidden && fed.dims[2] == 4 * hidden && call.dims(2) == state &&
        call.dims(3) == state) {
      const TensorSpec states{fed.dtype, {fed.dims[0], fed.dims[1], hidden}};
      return {states, states, fed};
    }
  }
  throw Error(
      reason::kShapeMismatch,
      fmt::format(
          "fed, R and the initial h and c are {}: [t,b,4n], [4n,n], [b,n] and [b,n] are expected, "
          "of one type",
          SpecsOf(call)));
}

// `gates` holds h R' and becomes the gates.
template <class T>
void ForwardRow(int64_t n, const T* fed, const T* c_before, T* gates, T* c, T* y) {
#pragma omp simd
  for (int64_t i = 0; i < 3 * n; ++i) gates[i] = fn::Sigmoid()(fed[i] + gates[i]);
#pragma omp simd
  for (int64_t i = 3 * n; i < 4 * n; ++i) gates[i] = math::Tanh(fed[i] + gates[i]);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T cell = gates[2 * n + i] * c_before[i] + gates[i] * gates[3 * n + i];
    c[i] = cell;
    y[i] = gates[n + i] * math::Tanh(cell);
  }
}

template <class T>
void LstmCpu(KernelContext& k) {
  const TimeSteps steps(k.output(0).dims(), k.attributes());
  const int64_t n = steps.hidden;
  const T *fed = k.in<T>(0), *h_initial = k.in<T>(2), *c_initial = k.in<T>(3);
  T *y = k.out<T>(0), *c = k.out<T>(1), *gates = k.out<T>(2);
  const PackedMatrix<T> r(k.stream(), {k.in<T>(1), 1, n}, n, 4 * n);
  steps.ForRows(4, [&](int64_t begin, int64_t end) {
    for (int64_t step = 0; step < steps.length; ++step) {
      const int64_t first = steps.Time(step) * steps.batch;
      const T* h_before = steps.Before<T>(step, y, h_initial) + begin * n;
      const T* c_before = steps.Before<T>(step, c, c_initial);
      r.Multiply(h_before, n, end - begin, gates + (first + begin) * 4 * n, 4 * n, false);
      RunWidest([&] {
        for (int64_t b = begin; b < end; ++b) {
          const int64_t at = (first + b) * n;
          ForwardRow(n, fed + 4 * at, c_before + b * n, gates + 4 * at, c + at, y + at);
        }
      });
    }
  });
}

Values DecomposeLstm(const OpCall& call) {
  const Specs specs = InferLstm(call);
  const TimeSteps steps(specs[0].dims, call.attributes());
  const Steps fed(call.input(0));
  Values y(static_cast<size_t>(steps.length)), c = y, gates = y;
  Value h = call.input(2);
  Value cell = call.input(3);
  for (int64_t step = 0; step < steps.length; ++step) {
    const auto t = static_cast<size_t>(steps.Time(step));
    const Value sums = fed[steps.Time(step)] + MatMul(h, call.input(1), false, true);
    const Values in = CutColumns(sums, 4);
    const Values act = {Sigmoid(in[0]), Sigmoid(in[1]), Sigmoid(in[2]), Tanh(in[3])};
    gates[t] = Concat(act, 1);
    c[t] = cell = act[2] * cell + act[0] * act[3];
    y[t] = h = act[1] * Tanh(cell);
  }
  return {Stack(y, specs[0]), Stack(c, specs[1]), Stack(gates, specs[2])};
}

Values LstmVjp(const VjpCall& call) {
  Values inputs = {call.output(2), call.output(1), call.input(3), call.input(1)};
  for (const size_t i : {0, 1, 2}) inputs.push_back(call.flows(i) ? call.dy(i) : Value());
  const Values all = ApplyAll("gradwire::LstmGrad", inputs, call.attributes(), 3);
  Values gradients = {all[0], Value(), all[1], all[2]};
  if (call.needs(1)) {
    const TimeSteps steps(call.output_spec(0).dims, call.attributes());
    gradients[1] = steps.ProductGrad(all[0], call.output(0), call.input(2));
  }
  return gradients;
}

// ---- Back

// Of the gates, c and the initial c, R, and the gradients of y, c and the gates, each of which may
// be left out: the gradients of fed (which are those of h R') and of the initial h and c.
Specs InferLstmGrad(const OpCall& call) {
  const TensorSpec& gates = call.spec(0);
  const TensorSpec& c = call.spec(1);
  if (gates.rank() == 3 && c.rank() == 3 && c.dtype == gates.dtype) {
    const int64_t hidden = c.dims[2];
    const TensorSpec state{c.dtype, {c.dims[1], hidden}};
    bool fits = gates.dims == Dims{c.dims[0], c.dims[1], 4 * hidden} && call.spec(2) == state &&
                call.spec(3) == TensorSpec{c.dtype, {4 * hidden, hidden}};
    for (size_t i = 4; i < 7; ++i) {
      fits = fits && (!call.has(i) || call.spec(i) == (i == 6 ? gates : c));
    }
    if (fits) return {gates, state, state};
  }
  throw Error(
      reason::kShapeMismatch,
      fmt::format(
          "the gates, c, initial c, R and gradients are {}: [t,b,4n], [t,b,n], [b,n], [4n,n], "
          "and [t,b,n], [t,b,n], [t,b,4n] or none, are expected, of one type",
          SpecsOf(call)));
}

// One row of a step.
template <class T>
struct RowGrad {
  const T *gates, *c, *c_before, *dy, *dc, *dgates;
  T *dfed, *dh_sum, *dc_sum;  // the sums: of what came so far; dc_sum becomes that of c_before

  void Run(int64_t n) const {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const T in = gates[i], out = gates[n + i], forget = gates[2 * n + i], g = gates[3 * n + i];
      const T tanh_c = math::Tanh(c[i]);
      const T dh = dh_sum[i] + dy[i];
      const T dcell = fn::TanhGrad()(dh * out, tanh_c) + dc_sum[i] + dc[i];
      dfed[i] = fn::SigmoidGrad()(dcell * g + dgates[i], in);
      dfed[n + i] = fn::SigmoidGrad()(dh * tanh_c + dgates[n + i], out);
      dfed[2 * n + i] = fn::SigmoidGrad()(dcell * c_before[i] + dgates[2 * n + i], forget);
      dfed[3 * n + i] = fn::TanhGrad()(dcell * in + dgates[3 * n + i], g);
      dc_sum[i] = dcell * forget;
    }
  }
};

template <class T>
void LstmGradCpu(KernelContext& k) {
  const TimeSteps steps(k.input(1).dims(), k.attributes());
  const int64_t n = steps.hidden;
  const T *gates = k.in<T>(0), *c = k.in<T>(1), *c_initial = k.in<T>(2);
  const RowsOrZeros<T> dy(k, 4, n), dc(k, 5, n), dgates(k, 6, 4 * n);
  T *dfed = k.out<T>(0), *dh_sum = k.out<T>(1), *dc_sum = k.out<T>(2);
  std::fill_n(dh_sum, steps.StateSize(), T{0});
  std::fill_n(dc_sum, steps.StateSize(), T{0});
  const PackedMatrix<T> r(k.stream(), {k.in<T>(3), n, 1}, 4 * n, n);
  steps.ForRows(4, [&](int64_t begin, int64_t end) {
    for (int64_t step = steps.length; step-- > 0;) {
      const int64_t first = steps.Time(step) * steps.batch;
      const T* c_before = steps.Before<T>(step, c, c_initial);
      RunWidest([&] {
        for (int64_t b = begin; b < end; ++b) {
          const int64_t row = first + b;
          RowGrad<T>{.gates = gates + row * 4 * n,
                     .c = c + row * n,
                     .c_before = c_before + b * n,
                     .dy = dy[row],
                     .dc = dc[row],
                     .dgates = dgates[row],
                     .dfed = dfed + row * 4 * n,
                     .dh_sum = dh_sum + b * n,
                     .dc_sum = dc_sum + b * n}
              .Run(n);
        }
      });
      r.Multiply(dfed + (first + begin) * 4 * n, 4 * n, end - begin, dh_sum + begin * n, n, false);
    }
  });
}

Values DecomposeLstmGrad(const OpCall& call) {
  const Specs specs = InferLstmGrad(call);
  const TimeSteps steps(call.dims(1), call.attributes());
  const Steps gates(call.input(0)), c(call.input(1));
  const Steps dy(call.input(4)), dc(call.input(5)), dgates(call.input(6));
  Values dfed(static_cast<size_t>(steps.length));
  Value dh = ZerosLike(specs[1]);
  Value dcell = ZerosLike(specs[2]);
  for (int64_t step = steps.length; step-- > 0;) {
    const int64_t t = steps.Time(step);
    const Value c_before = step == 0 ? call.input(2) : c[steps.Time(step - 1)];
    const Values act = CutColumns(gates[t], 4);
    const Value tanh_c = Tanh(c[t]);
    dh = Plus(dh, dy[t]);
    dcell = Plus(dcell, dc[t]) + Call("gradwire::TanhGrad", {dh * act[1], tanh_c});
    const Value dact =
        Plus(Concat({dcell * act[3], dh * tanh_c, dcell * c_before, dcell * act[0]}, 1), dgates[t]);
    Values dsums = CutColumns(dact, 4);
    for (size_t i = 0; i < 4; ++i) {
      dsums[i] = Call(i < 3 ? "gradwire::SigmoidGrad" : "gradwire::TanhGrad", {dsums[i], act[i]});
    }
    const Value all = Concat(dsums, 1);
    dfed[static_cast<size_t>(t)] = all;
    dcell = dcell * act[2];
    dh = MatMul(all, call.input(3));
  }
  return {Stack(dfed, specs[0]), dh, dcell};
}

// ---- The operators

void DispatchLstm(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { LstmCpu<T>(k); });
}
void DispatchLstmGrad(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { LstmGradCpu<T>(k); });
}

// Of the products with R.
int64_t LstmFlops(const Node& node) {
  return 2 * node.inputs()[0].numel() * node.output_slot(1)->spec.dims.back();
}

GRADWIRE_OP({.name = "Lstm",
             .domain = "gradwire",
             .inputs = 4,
             .outputs = {1, 3},
             .attributes = {"reverse"},
             .infer = InferLstm,
             .cpu = DispatchLstm,
             .decompose = DecomposeLstm,
             .vjp = LstmVjp,
             .saves = {.inputs = 0b1110, .outputs = 0b111}});
GRADWIRE_FLOPS("gradwire", "Lstm", LstmFlops);
GRADWIRE_OP({.name = "LstmGrad",
             .domain = "gradwire",
             .inputs = {4, 7},
             .outputs = {1, 3},
             .attributes = {"reverse"},
             .infer = InferLstmGrad,
             .cpu = DispatchLstmGrad,
             .decompose = DecomposeLstmGrad});
GRADWIRE_FLOPS("gradwire", "LstmGrad", LstmFlops);

}  // namespace
}  // namespace gradwire
