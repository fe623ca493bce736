// LSTM over a whole sequence, forward and back. At time t, with h and c of the step before,
//   [i o f g] = act(fed[t] + h R'),  c[t] = f c + i g,  y[t] = o tanh(c[t]),
// where act is the logistic function for the gates i, o and f, and tanh for the candidate g.
#include <fmt/format.h>

#include "core/widest.h"
#include "graph/flops.h"
#include "ops/product.h"
#include "ops/time_steps.h"

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

template <class T>
void ForwardRow(const LstmCell<T>& row) {
#pragma omp simd
  for (int64_t i = 0; i < 3 * row.n; ++i) row.Gate(i);
#pragma omp simd
  for (int64_t i = 0; i < row.n; ++i) row.Candidate(i);
#pragma omp simd
  for (int64_t i = 0; i < row.n; ++i) row.State(i);
}

template <class T>
void LstmCpu(KernelContext& k) {
  const TimeSteps steps(k.output(0).dims(), k.attributes());
  const int64_t n = steps.hidden;
  const T *fed = k.in<T>(0), *h_initial = k.in<T>(2), *c_initial = k.in<T>(3);
  T *y = k.out<T>(0), *c = k.out<T>(1), *gates = k.out<T>(2);
  const PackedMatrix<T> r(k.stream(), {k.in<T>(1), 1, n}, n, 4 * n);
  ForRowsOf(steps, 4, [&](int64_t begin, int64_t end) {
    for (int64_t step = 0; step < steps.length; ++step) {
      const int64_t at = (steps.Time(step) * steps.batch + begin) * n;
      const T* h_before = steps.Before<T>(step, y, h_initial) + begin * n;
      const T* c_before = steps.Before<T>(step, c, c_initial) + begin * n;
      r.Multiply(h_before, n, end - begin, gates + 4 * at, 4 * n, false);
      const LstmCell<T> cell{n, fed + 4 * at, c_before, gates + 4 * at, c + at, y + at};
      RunWidest([&] {
        for (int64_t b = 0; b < end - begin; ++b) ForwardRow(cell.Row(b));
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
    gradients[1] = ProductGrad(steps, all[0], call.output(0), call.input(2));
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

template <class T>
void BackwardRow(const LstmGradCell<T>& row) {
#pragma omp simd
  for (int64_t i = 0; i < row.n; ++i) row.Run(i);
}

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
  ForRowsOf(steps, 4, [&](int64_t begin, int64_t end) {
    for (int64_t step = steps.length; step-- > 0;) {
      const int64_t first = steps.Time(step) * steps.batch + begin;
      const LstmGradCell<T> cell{.n = n,
                                 .gates = gates + first * 4 * n,
                                 .c = c + first * n,
                                 .c_before = steps.Before<T>(step, c, c_initial) + begin * n,
                                 .dy = dy.From(first),
                                 .dc = dc.From(first),
                                 .dgates = dgates.From(first),
                                 .dfed = dfed + first * 4 * n,
                                 .dh_sum = dh_sum + begin * n,
                                 .dc_sum = dc_sum + begin * n};
      RunWidest([&] {
        for (int64_t b = 0; b < end - begin; ++b) BackwardRow(cell.Row(b));
      });
      r.Multiply(cell.dfed, 4 * n, end - begin, cell.dh_sum, n, false);
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
