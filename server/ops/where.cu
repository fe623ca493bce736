#include "core/strided.h"
#include "ops/elementwise.cuh"
#include "ops/ternary_functors.h"

namespace gradwire::cuda {
namespace {

void WhereKernel(KernelContext& context) {
  DispatchWidth(context.output(0).dtype(),
                [&]<class T>() { MapThree<bool, T>(context, fn::Choose()); });
}

GRADWIRE_CUDA_KERNEL("", "Where", 9, WhereKernel);
GRADWIRE_CUDA_FUNCTOR("", "Where", 9, DefineFunctor<fn::Choose>("fn::Choose"));

}  // namespace
}  // namespace gradwire::cuda
