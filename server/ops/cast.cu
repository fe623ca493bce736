#include "ops/elementwise.cuh"
#include "ops/functors.h"

namespace gradwire::cuda {
namespace {

template <class From>
void CastFrom(KernelContext& context) {
  const int64_t n = context.input(0).numel();
  Dispatch(DenseTypes{}, context.output(0).dtype(), [&]<class To>() {
    Map(context.stream(), context.in<From>(0), context.out<To>(0), n, fn::Convert<To>());
  });
}

void CastKernel(KernelContext& context) {
  Dispatch(DenseTypes{}, context.input(0).dtype(), [&]<class From>() { CastFrom<From>(context); });
}

GRADWIRE_CUDA_KERNEL("", "Cast", 1, CastKernel);
GRADWIRE_CUDA_FUNCTOR("", "Cast", 1, {.type = "fn::Convert<Result>"});

}  // namespace
}  // namespace gradwire::cuda
