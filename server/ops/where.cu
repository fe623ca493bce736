#include "core/strided.h"
#include "ops/elementwise.cuh"
#include "ops/ternary_functors.h"

namespace gradwire::cuda {
namespace {

template <class T>
struct Select {
  const bool* condition;
  const T* a;
  const T* b;
  T* y;
  Offsets<3> offsets;

  GRADWIRE_FN void operator()(int64_t i) const {
    int64_t at[3];
    offsets.Of(i, at);
    y[i] = fn::Choose()(condition[at[0]], a[at[1]], b[at[2]]);
  }
};

void WhereKernel(KernelContext& context) {
  const Tensor& y = context.output(0);
  const Offsets<3> offsets(
      y.dims(), {context.input(0).dims(), context.input(1).dims(), context.input(2).dims()});
  DispatchWidth(y.dtype(), [&]<class T>() {
    ForEach(context.stream(), y.numel(),
            Select<T>{context.in<bool>(0), context.in<T>(1), context.in<T>(2), context.out<T>(0),
                      offsets});
  });
}

GRADWIRE_CUDA_KERNEL("", "Where", 9, WhereKernel);
GRADWIRE_CUDA_FUNCTOR("", "Where", 9, DefineFunctor<fn::Choose>("fn::Choose"));

}  // namespace
}  // namespace gradwire::cuda
