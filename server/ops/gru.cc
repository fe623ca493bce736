// GRU over a whole sequence, forward and back. At time t, with h of the step before,
//   [z r] = sigmoid(fed[t] + h R'),  g = tanh(fed[t] + q),  y[t] = g + z (h - g),
// where q is (r h) R', or with `linear_before_reset` r (h R' + bias). R has rows for z, r and g.
#include <fmt/format.h>

#include "core/widest.h"
#include "graph/flops.h"
#include "ops/product.h"
#include "ops/time_steps.h"

namespace gradwire {
namespace {

// ---- Forward

bool IsLinear(const Attributes& attributes) {
  return attributes.Int("linear_before_reset", 0) != 0;
}

// Of fed[length, batch, 3 hidden], R[3 hidden, hidden], the initial h[batch, hidden] and
// bias[hidden], which may be left out: y[length, batch, hidden], and [z r m g], which is
// [length, batch, 4 hidden]; m is the memory: r h, or linearly h R' + bias.
Specs InferGru(const OpCall& call) {
  const TensorSpec& fed = call.spec(0);
  for (size_t i = 1; i < 4; ++i) {
    if (call.has(i)) call.RequireSameType(i);
  }
  if (call.has(3) && !IsLinear(call.attributes())) {
    throw Error(reason::kInvalidArgument, "a bias is used with linear_before_reset only");
  }
  if (fed.rank() == 3 && call.rank(1) == 2) {
    const int64_t hidden = call.dims(1)[1];
    if (call.dims(1)[0] == 3 * hidden && fed.dims[2] == 3 * hidden &&
        call.dims(2) == Dims{fed.dims[1], hidden} &&
        (!call.has(3) || call.dims(3) == Dims{hidden})) {
      return {{fed.dtype, {fed.dims[0], fed.dims[1], hidden}},
              {fed.dtype, {fed.dims[0], fed.dims[1], 4 * hidden}}};
    }
  }
  throw Error(reason::kShapeMismatch, fmt::format("fed, R, the initial h and the bias are {}: "
                                                  "[t,b,3n], [3n,n], [b,n] and [n] are expected, "
                                                  "of one type",
                                                  SpecsOf(call)));
}

// Parts of R, to multiply with: the rows of z and r, and those of g.
template <class T>
struct Products {
  PackedMatrix<T> gates, candidate;

  // h times these is h R'.
  static Products Transposed(Stream& stream, const T* r, int64_t n) {
    return {{stream, {r, 1, n}, n, 2 * n}, {stream, {r + 2 * n * n, 1, n}, n, n}};
  }
  static Products Plain(Stream& stream, const T* r, int64_t n) {
    return {{stream, {r, n, 1}, 2 * n, n}, {stream, {r + 2 * n * n, n, 1}, n, n}};
  }
};

template <class T>
void GatesRow(const GruCell<T>& row, bool linear) {
#pragma omp simd
  for (int64_t i = 0; i < 2 * row.n; ++i) row.Gate(i);
  if (linear) {
#pragma omp simd
    for (int64_t i = 0; i < row.n; ++i) row.LinearMemory(i);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < row.n; ++i) row.Memory(i);
  }
}

template <class T>
void OutputRow(const GruCell<T>& row) {
#pragma omp simd
  for (int64_t i = 0; i < row.n; ++i) row.Output(i);
}

template <class T>
void GruCpu(KernelContext& k) {
  const TimeSteps steps(k.output(0).dims(), k.attributes());
  const bool linear = IsLinear(k.attributes());
  const int64_t n = steps.hidden;
  const T *fed = k.in<T>(0), *h_initial = k.in<T>(2);
  const RowsOrZeros<T> bias(k, 3, n);
  T *y = k.out<T>(0), *saved = k.out<T>(1);
  const auto r = Products<T>::Transposed(k.stream(), k.in<T>(1), n);
  ForRowsOf(steps, 3, [&](int64_t begin, int64_t end) {
    const int64_t rows = end - begin;
    for (int64_t step = 0; step < steps.length; ++step) {
      const int64_t first = steps.Time(step) * steps.batch + begin;
      const T* const h = steps.Before<T>(step, y, h_initial) + begin * n;
      T* const kept = saved + first * 4 * n;
      const GruCell<T> cell{n, fed + first * 3 * n, bias.From(0).first, h, kept, y + first * n};
      r.gates.Multiply(h, n, rows, kept, 4 * n, false);
      if (linear) r.candidate.Multiply(h, n, rows, kept + 2 * n, 4 * n, false);
      RunWidest([&] {
        for (int64_t b = 0; b < rows; ++b) GatesRow(cell.Row(b), linear);
      });
      if (!linear) r.candidate.Multiply(kept + 2 * n, 4 * n, rows, kept + 3 * n, 4 * n, false);
      RunWidest([&] {
        for (int64_t b = 0; b < rows; ++b) OutputRow(cell.Row(b));
      });
    }
  });
}

// The rows of R for z and r, and those for g.
Values CutRows(const Value& r) {
  const int64_t n = r.dims()[1];
  return {Slice(r, {0}, {2 * n}, {0}, {1}), Slice(r, {2 * n}, {3 * n}, {0}, {1})};
}

Values DecomposeGru(const OpCall& call) {
  const Specs specs = InferGru(call);
  const TimeSteps steps(specs[0].dims, call.attributes());
  const bool linear = IsLinear(call.attributes());
  const Steps fed(call.input(0));
  const Values r = CutRows(call.input(1));
  Values y(static_cast<size_t>(steps.length)), saved = y;
  Value h = call.input(2);
  for (int64_t step = 0; step < steps.length; ++step) {
    const auto t = static_cast<size_t>(steps.Time(step));
    const Values in = CutColumns(fed[steps.Time(step)], 3);
    const Values product = CutColumns(MatMul(h, r[0], false, true), 2);
    const Value update = Sigmoid(in[0] + product[0]);
    const Value reset = Sigmoid(in[1] + product[1]);
    const Value memory = linear ? Plus(MatMul(h, r[1], false, true), call.input(3)) : reset * h;
    const Value sum = linear ? reset * memory : MatMul(memory, r[1], false, true);
    const Value candidate = Tanh(in[2] + sum);
    saved[t] = Concat({update, reset, memory, candidate}, 1);
    y[t] = h = candidate + update * (h - candidate);
  }
  return {Stack(y, specs[0]), Stack(saved, specs[1])};
}

Values GruVjp(const VjpCall& call) {
  Values inputs = {call.output(1), call.output(0), call.input(2), call.input(1)};
  for (const size_t i : {0, 1}) inputs.push_back(call.flows(i) ? call.dy(i) : Value());
  const Values all = ApplyAll("gradwire::GruGrad", inputs, call.attributes(), 3);
  Values gradients = {all[0], Value(), all[2]};
  const TimeSteps steps(call.output_spec(0).dims, call.attributes());
  const int64_t n = steps.hidden;
  const bool linear = IsLinear(call.attributes());
  if (call.needs(1)) {
    const Value of_states = ProductGrad(steps, all[0], call.output(0), call.input(2));
    const auto rows = [&](const Value& x) {
      return Reshape(x, {steps.length * steps.batch, x.dims()[2]});
    };
    const auto columns = [&](const Value& x, int64_t from) {
      return rows(Slice(x, {from * n}, {(from + 1) * n}, {2}, {1}));
    };
    const Value of_candidate =
        linear ? ProductGrad(steps, all[1], call.output(0), call.input(2))
               : MatMul(columns(all[0], 2), columns(call.output(1), 2), /*transpose_a=*/true);
    gradients[1] = Concat({Slice(of_states, {0}, {2 * n}, {0}, {1}), of_candidate}, 0);
  }
  if (call.needs(3)) gradients.push_back(all[1]);
  return gradients;
}

// ---- Back

// Of [z r m g], y, the initial h, R, and the gradients of y and of [z r m g], each of which may be
// left out: the gradients of fed, of m and of the initial h.
Specs InferGruGrad(const OpCall& call) {
  const TensorSpec& saved = call.spec(0);
  const TensorSpec& y = call.spec(1);
  if (saved.rank() == 3 && y.rank() == 3 && y.dtype == saved.dtype) {
    const int64_t hidden = y.dims[2];
    const TensorSpec state{y.dtype, {y.dims[1], hidden}};
    if (saved.dims == Dims{y.dims[0], y.dims[1], 4 * hidden} && call.spec(2) == state &&
        call.spec(3) == TensorSpec{y.dtype, {3 * hidden, hidden}} &&
        (!call.has(4) || call.spec(4) == y) && (!call.has(5) || call.spec(5) == saved)) {
      return {{y.dtype, {y.dims[0], y.dims[1], 3 * hidden}}, y, state};
    }
  }
  throw Error(
      reason::kShapeMismatch,
      fmt::format(
          "[z r m g], y, the initial h, R and gradients are {}: [t,b,4n], [t,b,n], [b,n], [3n,n], "
          "and [t,b,n], [t,b,4n] or none, are expected, of one type",
          SpecsOf(call)));
}

// From y to where the first product is.
template <class T>
void OutputGradRow(const GruGradCell<T>& row, bool linear) {
#pragma omp simd
  for (int64_t i = 0; i < row.n; ++i) row.ThroughOutput(i);
  if (!linear) return;
#pragma omp simd
  for (int64_t i = 0; i < row.n; ++i) row.ThroughReset(i);
}

template <class T>
void MemoryGradRow(const GruGradCell<T>& row) {
#pragma omp simd
  for (int64_t i = 0; i < row.n; ++i) row.ThroughMemory(i);
}

template <class T>
void GruGradCpu(KernelContext& k) {
  const TimeSteps steps(k.input(1).dims(), k.attributes());
  const bool linear = IsLinear(k.attributes());
  const int64_t n = steps.hidden;
  const T *saved = k.in<T>(0), *y = k.in<T>(1), *h_initial = k.in<T>(2);
  const RowsOrZeros<T> dy(k, 4, n), dsaved(k, 5, 4 * n);
  T *dfed = k.out<T>(0), *dm = k.out<T>(1), *dh_sum = k.out<T>(2);
  std::fill_n(dh_sum, steps.StateSize(), T{0});
  const auto r = Products<T>::Plain(k.stream(), k.in<T>(3), n);
  ForRowsOf(steps, 3, [&](int64_t begin, int64_t end) {
    for (int64_t step = steps.length; step-- > 0;) {
      const int64_t first = steps.Time(step) * steps.batch + begin;
      const int64_t rows = end - begin;
      const GruGradCell<T> cell{.n = n,
                                .saved = saved + first * 4 * n,
                                .h = steps.Before<T>(step, y, h_initial) + begin * n,
                                .dy = dy.From(first),
                                .dsaved = dsaved.From(first),
                                .dfed = dfed + first * 3 * n,
                                .dm = dm + first * n,
                                .dh_sum = dh_sum + begin * n};
      for (int64_t b = 0; b < rows; ++b) OutputGradRow(cell.Row(b), linear);
      if (linear) {
        r.candidate.Multiply(cell.dm, n, rows, cell.dh_sum, n, true);
      } else {
        r.candidate.Multiply(cell.dfed + 2 * n, 3 * n, rows, cell.dm, n, false);
        for (int64_t b = 0; b < rows; ++b) MemoryGradRow(cell.Row(b));
      }
      r.gates.Multiply(cell.dfed, 3 * n, rows, cell.dh_sum, n, true);
    }
  });
}

// One step of DecomposeGruGrad: what it takes, and what it gives.
struct StepGrad {
  Value h, saved, dsaved;  // dsaved may be absent
  Values r;                // as CutRows
  bool linear;
  Value dfed = {}, dm = {};

  // From the gradient of y to that of h.
  Value Run(const Value& dy) {
    const Values parts = CutColumns(saved, 4);
    const Values more = dsaved ? CutColumns(dsaved, 4) : Values(4);
    const Value &z = parts[0], &reset = parts[1], &m = parts[2], &g = parts[3];
    const Value dz = Call("gradwire::SigmoidGrad", {Plus(dy * (h - g), more[0]), z});
    const Value dq = Call("gradwire::TanhGrad", {Plus(dy * (1.0 - z), more[3]), g});
    dm = Plus(linear ? dq * reset : MatMul(dq, r[1]), more[2]);
    const Value dreset =
        Call("gradwire::SigmoidGrad", {Plus(linear ? dq * m : dm * h, more[1]), reset});
    dfed = Concat({dz, dreset, dq}, 1);
    const Value past = dy * z + (linear ? MatMul(dm, r[1]) : dm * reset);
    return past + MatMul(Concat({dz, dreset}, 1), r[0]);
  }
};

Values DecomposeGruGrad(const OpCall& call) {
  const Specs specs = InferGruGrad(call);
  const TimeSteps steps(call.dims(1), call.attributes());
  const Steps saved(call.input(0)), y(call.input(1)), dy(call.input(4)), dsaved(call.input(5));
  const Values r = CutRows(call.input(3));
  Values dfed(static_cast<size_t>(steps.length)), dm = dfed;
  Value dh = ZerosLike(specs[2]);
  for (int64_t step = steps.length; step-- > 0;) {
    const int64_t t = steps.Time(step);
    StepGrad grad{step == 0 ? call.input(2) : y[steps.Time(step - 1)], saved[t], dsaved[t], r,
                  IsLinear(call.attributes())};
    dh = grad.Run(Plus(dh, dy[t]));
    dfed[static_cast<size_t>(t)] = grad.dfed;
    dm[static_cast<size_t>(t)] = grad.dm;
  }
  return {Stack(dfed, specs[0]), Stack(dm, specs[1]), dh};
}

// ---- The operators

void DispatchGru(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { GruCpu<T>(k); });
}
void DispatchGruGrad(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { GruGradCpu<T>(k); });
}

// Of the products with R.
int64_t GruFlops(const Node& node) {
  const bool forward = node.op().name == "Gru";
  const Dims& y = (forward ? node.output_slot(0)->spec : node.inputs()[1].spec()).dims;
  return 6 * NumElements(y) * y[2];
}

GRADWIRE_OP({.name = "Gru",
             .domain = "gradwire",
             .inputs = {3, 4},
             .outputs = {1, 2},
             .attributes = {"linear_before_reset", "reverse"},
             .infer = InferGru,
             .cpu = DispatchGru,
             .decompose = DecomposeGru,
             .vjp = GruVjp,
             .saves = {.inputs = 0b110, .outputs = 0b11}});
GRADWIRE_FLOPS("gradwire", "Gru", GruFlops);
GRADWIRE_OP({.name = "GruGrad",
             .domain = "gradwire",
             .inputs = {4, 6},
             .outputs = {1, 3},
             .attributes = {"linear_before_reset", "reverse"},
             .infer = InferGruGrad,
             .cpu = DispatchGruGrad,
             .decompose = DecomposeGruGrad});
GRADWIRE_FLOPS("gradwire", "GruGrad", GruFlops);

}  // namespace
}  // namespace gradwire
