#include "ops/recurrent_steps.cuh"

namespace gradwire::cuda {
namespace {

// What is done between products.
struct Gates {
  template <class Row>
  GRADWIRE_FN void operator()(const Row& row, int64_t i) const {
    row.Gate(i);
    row.Gate(row.n + i);
    row.Memory(i);
  }
};
struct Output {
  template <class Row>
  GRADWIRE_FN void operator()(const Row& row, int64_t i) const {
    row.Output(i);
  }
};
struct LinearStep {
  template <class Row>
  GRADWIRE_FN void operator()(const Row& row, int64_t i) const {
    row.Gate(i);
    row.Gate(row.n + i);
    row.LinearMemory(i);
    row.Output(i);
  }
};
struct BackThroughOutput {
  template <class Row>
  GRADWIRE_FN void operator()(const Row& row, int64_t i) const {
    row.ThroughOutput(i);
  }
};
struct BackThroughMemory {
  template <class Row>
  GRADWIRE_FN void operator()(const Row& row, int64_t i) const {
    row.ThroughMemory(i);
  }
};
struct BackThroughLinearStep {
  template <class Row>
  GRADWIRE_FN void operator()(const Row& row, int64_t i) const {
    row.ThroughOutput(i);
    row.ThroughReset(i);
  }
};

bool IsLinear(KernelContext& k) { return k.attributes().Int("linear_before_reset", 0) != 0; }

template <class T>
void Forward(KernelContext& k) {
  const TimeSteps steps(k.output(0).dims(), k.attributes());
  if (steps.StateSize() == 0) return;
  const int64_t n = steps.hidden;
  const RowsOrZeros<T> bias(k, 3, n);
  const T* const r = k.in<T>(1);
  for (int64_t step = 0; step < steps.length; ++step) {
    const int64_t first = steps.Time(step) * steps.batch;
    const GruCell<T> cell{.n = n,
                          .fed = k.in<T>(0) + first * 3 * n,
                          .bias = bias.From(0).first,
                          .h = steps.Before<T>(step, k.out<T>(0), k.in<T>(2)),
                          .saved = k.out<T>(1) + first * 4 * n,
                          .y = k.out<T>(0) + first * n};
    const auto times = [&](Columns<const T> from, const T* rows_of_r, T* to, int64_t rows) {
      MultiplyBatch<T>(k.stream(), steps.batch, from, n, rows_of_r, Times::kTransposed, {to, 4 * n},
                       rows);
    };
    if (IsLinear(k)) {
      times({cell.h, n}, r, cell.saved, 3 * n);
      RunCells<LinearStep>(k.stream(), steps, cell);
    } else {
      times({cell.h, n}, r, cell.saved, 2 * n);
      RunCells<Gates>(k.stream(), steps, cell);
      times({cell.saved + 2 * n, 4 * n}, r + 2 * n * n, cell.saved + 3 * n, n);
      RunCells<Output>(k.stream(), steps, cell);
    }
  }
}

template <class T>
void Backward(KernelContext& k) {
  const TimeSteps steps(k.input(1).dims(), k.attributes());
  if (steps.StateSize() == 0) return;
  const int64_t n = steps.hidden;
  const RowsOrZeros<T> dy(k, 4, n), dsaved(k, 5, 4 * n);
  const T *const gates = k.in<T>(3), *const candidate = gates + 2 * n * n;  // rows of R
  ZeroState(k, steps, k.out<T>(2));
  for (int64_t step = steps.length; step-- > 0;) {
    const int64_t first = steps.Time(step) * steps.batch;
    const GruGradCell<T> cell{.n = n,
                              .saved = k.in<T>(0) + first * 4 * n,
                              .h = steps.Before<T>(step, k.in<T>(1), k.in<T>(2)),
                              .dy = dy.From(first),
                              .dsaved = dsaved.From(first),
                              .dfed = k.out<T>(0) + first * 3 * n,
                              .dm = k.out<T>(1) + first * n,
                              .dh_sum = k.out<T>(2)};
    const auto times = [&](Columns<const T> from, int64_t rows, const T* rows_of_r, T* to,
                           bool accumulate) {
      MultiplyBatch<T>(k.stream(), steps.batch, from, rows, rows_of_r, Times::kPlain, {to, n}, n,
                       accumulate);
    };
    if (IsLinear(k)) {
      RunCells<BackThroughLinearStep>(k.stream(), steps, cell);
      times({cell.dm, n}, n, candidate, cell.dh_sum, true);
    } else {
      RunCells<BackThroughOutput>(k.stream(), steps, cell);
      times({cell.dfed + 2 * n, 3 * n}, n, candidate, cell.dm, false);
      RunCells<BackThroughMemory>(k.stream(), steps, cell);
    }
    times({cell.dfed, 3 * n}, 2 * n, gates, cell.dh_sum, true);
  }
}

void GruKernel(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { Forward<T>(k); });
}
void GruGradKernel(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { Backward<T>(k); });
}

GRADWIRE_CUDA_KERNEL("gradwire", "Gru", 1, GruKernel);
GRADWIRE_CUDA_KERNEL("gradwire", "GruGrad", 1, GruGradKernel);

}  // namespace
}  // namespace gradwire::cuda
