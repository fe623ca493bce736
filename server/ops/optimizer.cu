#include "backend/cuda/launch.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/optimizer_functors.h"

namespace gradwire::cuda {
namespace {

// The rate is of any float type, the count an int64: both are where the arrays are, so that nothing
// waits.
template <class Rule, class C, class R>
struct FindStep {
  using Step = decltype(Rule().template At<C>(0.0, 0.0));
  Rule rule;
  const R* rate;
  const int64_t* count;
  Step* step;

  GRADWIRE_FN void operator()(int64_t) const {
    *step = rule.template At<C>(static_cast<double>(*rate),
                                count == nullptr ? 0.0 : static_cast<double>(*count));
  }
};

template <class Rule, class T, class Step>
struct Apply {
  const Step* step;
  const T* in[2 + Rule::kStates];
  T* out[1 + Rule::kStates];

  GRADWIRE_FN void operator()(int64_t i) const {
    Computed<T> x = Loaded(in[0][i]);
    Computed<T> states[Rule::kStates + 1];
    for (int s = 0; s < Rule::kStates; ++s) states[s] = Loaded(in[2 + s][i]);
    (*step)(x, Loaded(in[1][i]), states);
    out[0][i] = x;
    for (int s = 0; s < Rule::kStates; ++s) out[1 + s][i] = states[s];
  }
};

template <class Rule, class T>
void UpdateAs(KernelContext& k) {
  constexpr size_t kParameter = Rule::kCounts ? 2 : 1;
  using C = Computed<T>;
  using Step = decltype(Rule().template At<C>(0.0, 0.0));
  const BufferPtr memory = k.Scratch(sizeof(Step));
  auto* const step = static_cast<Step*>(memory->data());
  const Rule rule = Rule::Make(k.attributes());
  const int64_t* const count = Rule::kCounts ? k.in<int64_t>(1) : nullptr;
  Dispatch(FloatTypes{}, k.input(0).dtype(), [&]<class R>() {
    ForEach(k.stream(), 1, FindStep<Rule, C, R>{rule, k.in<R>(0), count, step});
  });
  Apply<Rule, T, Step> apply{step, {}, {}};
  for (size_t i = 0; i < 2 + Rule::kStates; ++i) apply.in[i] = k.in<T>(kParameter + i);
  for (size_t i = 0; i < 1 + Rule::kStates; ++i) apply.out[i] = k.out<T>(i);
  ForEach(k.stream(), k.output(0).numel(), apply);
}

template <class Rule>
void UpdateKernel(KernelContext& k) {
  Dispatch(WithHalves<FloatTypes>{}, k.output(0).dtype(), [&]<class T>() { UpdateAs<Rule, T>(k); });
}

// All but the rate and the count.
template <class Rule>
constexpr KernelTraits kHalvesOf = {.halves = Rule::kCounts ? ~0b11u : ~0b1u};

GRADWIRE_CUDA_KERNEL("gradwire", "Sgd", 1, UpdateKernel<fn::Sgd>, kHalvesOf<fn::Sgd>);
GRADWIRE_CUDA_KERNEL("gradwire", "Momentum", 1, UpdateKernel<fn::Momentum>,
                     kHalvesOf<fn::Momentum>);
GRADWIRE_CUDA_KERNEL("gradwire", "Adagrad", 1, UpdateKernel<fn::Adagrad>, kHalvesOf<fn::Adagrad>);
GRADWIRE_CUDA_KERNEL("gradwire", "Adam", 1, UpdateKernel<fn::Adam>, kHalvesOf<fn::Adam>);
GRADWIRE_CUDA_KERNEL("gradwire", "AdamW", 1, UpdateKernel<fn::AdamW>, kHalvesOf<fn::AdamW>);
GRADWIRE_CUDA_KERNEL("gradwire", "OnnxAdam", 1, UpdateKernel<fn::OnnxAdam>,
                     kHalvesOf<fn::OnnxAdam>);

}  // namespace
}  // namespace gradwire::cuda
