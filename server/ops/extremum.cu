#include "ops/binary_functors.h"
#include "ops/elementwise.cuh"
#include "ops/ternary_functors.h"

namespace gradwire::cuda {
namespace {

// The bounds are read where they are; nullptr where there is none.
template <class T>
struct Clipped {
  const T* low;
  const T* high;

  GRADWIRE_FN Computed<T> operator()(Computed<T> x) const {
    if (low != nullptr) x = fn::Clip::Raise(x, Loaded(*low));
    return high != nullptr ? fn::Clip::Lower(x, Loaded(*high)) : x;
  }
};

void ClipKernel(KernelContext& context) {
  Dispatch(WithHalves<NumberTypes>{}, context.input(0).dtype(), [&]<class T>() {
    const Clipped<T> f{context.has(1) ? context.in<T>(1) : nullptr,
                       context.has(2) ? context.in<T>(2) : nullptr};
    Map(context.stream(), context.in<T>(0), context.out<T>(0), context.input(0).numel(), f);
  });
}

GRADWIRE_CUDA_BINARY("gradwire", "Maximum", 1, fn::Maximum, NumberTypes);
GRADWIRE_CUDA_BINARY("gradwire", "Minimum", 1, fn::Minimum, NumberTypes);
GRADWIRE_CUDA_KERNEL("", "Clip", 11, ClipKernel, kHalvesInAll);
GRADWIRE_CUDA_FUNCTOR("", "Clip", 11, DefineFunctor<fn::Clip>("fn::Clip"));

}  // namespace
}  // namespace gradwire::cuda
