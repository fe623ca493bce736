#include "ops/elementwise.cuh"
#include "ops/functors.h"
#include "ops/ternary_functors.h"

namespace gradwire::cuda {
namespace {

void MulAddKernel(KernelContext& context) {
  Dispatch(WithHalves<FloatTypes>{}, context.output(0).dtype(),
           [&]<class T>() { MapThree<T, T>(context, fn::MulAdd()); });
}

GRADWIRE_CUDA_BINARY("", "Add", 7, fn::Add, NumberTypes);
GRADWIRE_CUDA_BINARY("", "Sub", 7, fn::Sub, NumberTypes);
GRADWIRE_CUDA_BINARY("", "Mul", 7, fn::Mul, NumberTypes);
GRADWIRE_CUDA_BINARY("", "Div", 7, fn::Div, NumberTypes);
GRADWIRE_CUDA_UNARY("", "Neg", 1, fn::Neg, SignedTypes);
GRADWIRE_CUDA_KERNEL("gradwire", "MulAdd", 1, MulAddKernel, kHalvesInAll);
GRADWIRE_CUDA_FUNCTOR("gradwire", "MulAdd", 1, DefineFunctor<fn::MulAdd>("fn::MulAdd"));

}  // namespace
}  // namespace gradwire::cuda
