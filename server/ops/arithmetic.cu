#include "ops/elementwise.cuh"
#include "ops/functors.h"
#include "ops/ternary_functors.h"

namespace gradwire::cuda {
namespace {

template <class T>
struct ScaleAndShift {
  const T* x;
  const T* scale;
  const T* shift;
  T* y;
  Offsets<3> offsets;

  GRADWIRE_FN void operator()(int64_t i) const {
    int64_t at[3];
    offsets.Of(i, at);
    y[i] = fn::MulAdd()(x[at[0]], scale[at[1]], shift[at[2]]);
  }
};

void MulAddKernel(KernelContext& k) {
  const Tensor& y = k.output(0);
  const Offsets<3> offsets(y.dims(), {k.input(0).dims(), k.input(1).dims(), k.input(2).dims()});
  Dispatch(FloatTypes{}, y.dtype(), [&]<class T>() {
    ForEach(k.stream(), y.numel(),
            ScaleAndShift<T>{k.in<T>(0), k.in<T>(1), k.in<T>(2), k.out<T>(0), offsets});
  });
}

GRADWIRE_CUDA_BINARY("", "Add", 7, fn::Add, NumberTypes);
GRADWIRE_CUDA_BINARY("", "Sub", 7, fn::Sub, NumberTypes);
GRADWIRE_CUDA_BINARY("", "Mul", 7, fn::Mul, NumberTypes);
GRADWIRE_CUDA_BINARY("", "Div", 7, fn::Div, NumberTypes);
GRADWIRE_CUDA_UNARY("", "Neg", 1, fn::Neg, SignedTypes);
GRADWIRE_CUDA_KERNEL("gradwire", "MulAdd", 1, MulAddKernel);
GRADWIRE_CUDA_FUNCTOR("gradwire", "MulAdd", 1, DefineFunctor<fn::MulAdd>("fn::MulAdd"));

}  // namespace
}  // namespace gradwire::cuda
