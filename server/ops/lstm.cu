#include "ops/recurrent_steps.cuh"

namespace gradwire::cuda {
namespace {

struct NextState {
  template <class Row>
  GRADWIRE_FN void operator()(const Row& row, int64_t i) const {
    for (int64_t gate = 0; gate < 3; ++gate) row.Gate(gate * row.n + i);
    row.Candidate(i);
    row.State(i);
  }
};
struct BackThroughState {
  template <class Row>
  GRADWIRE_FN void operator()(const Row& row, int64_t i) const {
    row.Run(i);
  }
};

template <class T>
void Forward(KernelContext& k) {
  const TimeSteps steps(k.output(0).dims(), k.attributes());
  if (steps.StateSize() == 0) return;
  const int64_t n = steps.hidden;
  T *const y = k.out<T>(0), *const c = k.out<T>(1);
  for (int64_t step = 0; step < steps.length; ++step) {
    const int64_t at = steps.Time(step) * steps.StateSize();
    const T* const h_before = steps.Before<T>(step, y, k.in<T>(2));
    const LstmCell<T> cell{.n = n,
                           .fed = k.in<T>(0) + 4 * at,
                           .c_before = steps.Before<T>(step, c, k.in<T>(3)),
                           .gates = k.out<T>(2) + 4 * at,
                           .c = c + at,
                           .y = y + at};
    MultiplyBatch<T>(k.stream(), steps.batch, {h_before, n}, n, k.in<T>(1), Times::kTransposed,
                     {cell.gates, 4 * n}, 4 * n);
    RunCells<NextState>(k.stream(), steps, cell);
  }
}

template <class T>
void Backward(KernelContext& k) {
  const TimeSteps steps(k.input(1).dims(), k.attributes());
  if (steps.StateSize() == 0) return;
  const int64_t n = steps.hidden;
  const RowsOrZeros<T> dy(k, 4, n), dc(k, 5, n), dgates(k, 6, 4 * n);
  ZeroState(k, steps, k.out<T>(1));
  ZeroState(k, steps, k.out<T>(2));
  for (int64_t step = steps.length; step-- > 0;) {
    const int64_t first = steps.Time(step) * steps.batch;
    const LstmGradCell<T> cell{.n = n,
                               .gates = k.in<T>(0) + first * 4 * n,
                               .c = k.in<T>(1) + first * n,
                               .c_before = steps.Before<T>(step, k.in<T>(1), k.in<T>(2)),
                               .dy = dy.From(first),
                               .dc = dc.From(first),
                               .dgates = dgates.From(first),
                               .dfed = k.out<T>(0) + first * 4 * n,
                               .dh_sum = k.out<T>(1),
                               .dc_sum = k.out<T>(2)};
    RunCells<BackThroughState>(k.stream(), steps, cell);
    MultiplyBatch<T>(k.stream(), steps.batch, {cell.dfed, 4 * n}, 4 * n, k.in<T>(3), Times::kPlain,
                     {cell.dh_sum, n}, n);
  }
}

void LstmKernel(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { Forward<T>(k); });
}
void LstmGradKernel(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { Backward<T>(k); });
}

GRADWIRE_CUDA_KERNEL("gradwire", "Lstm", 1, LstmKernel);
GRADWIRE_CUDA_KERNEL("gradwire", "LstmGrad", 1, LstmGradKernel);

}  // namespace
}  // namespace gradwire::cuda
