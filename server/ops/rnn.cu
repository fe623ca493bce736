#include "ops/recurrent_steps.cuh"

namespace gradwire::cuda {
namespace {

template <class T, class Activation>
void Forward(KernelContext& k) {
  const TimeSteps steps(k.output(0).dims(), k.attributes());
  if (steps.StateSize() == 0) return;
  const int64_t n = steps.hidden;
  for (int64_t step = 0; step < steps.length; ++step) {
    const int64_t first = steps.Time(step) * steps.StateSize();
    T* const y = k.out<T>(0) + first;
    const T* const h = steps.Before<T>(step, k.out<T>(0), k.in<T>(2));
    MultiplyBatch<T>(k.stream(), steps.batch, {h, n}, n, k.in<T>(1), Times::kTransposed, {y, n}, n);
    ForEach(k.stream(), steps.StateSize(), RnnCell<T, Activation>{k.in<T>(0) + first, y});
  }
}

template <class T, class ActivationGrad>
void Backward(KernelContext& k) {
  const TimeSteps steps(k.input(0).dims(), k.attributes());
  if (steps.StateSize() == 0) return;
  const int64_t n = steps.hidden;
  T* const dh_sum = k.out<T>(1);
  ZeroState(k, steps, dh_sum);
  for (int64_t step = steps.length; step-- > 0;) {
    const int64_t first = steps.Time(step) * steps.StateSize();
    T* const dfed = k.out<T>(0) + first;
    ForEach(k.stream(), steps.StateSize(),
            RnnGradCell<T, ActivationGrad>{k.in<T>(0) + first, k.in<T>(2) + first, dh_sum, dfed});
    MultiplyBatch<T>(k.stream(), steps.batch, {dfed, n}, n, k.in<T>(1), Times::kPlain, {dh_sum, n},
                     n);
  }
}

void RnnKernel(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() {
    k.attributes().Int("relu", 0) != 0 ? Forward<T, fn::Relu>(k) : Forward<T, fn::Tanh>(k);
  });
}
void RnnGradKernel(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() {
    k.attributes().Int("relu", 0) != 0 ? Backward<T, fn::ReluGrad>(k)
                                       : Backward<T, fn::TanhGrad>(k);
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "Rnn", 1, RnnKernel);
GRADWIRE_CUDA_KERNEL("gradwire", "RnnGrad", 1, RnnGradKernel);

}  // namespace
}  // namespace gradwire::cuda
