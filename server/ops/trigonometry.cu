#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_KERNEL("", "Sin", 7, UnaryKernel<fn::Sin, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Cos", 7, UnaryKernel<fn::Cos, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Tan", 7, UnaryKernel<fn::Tan, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Asin", 7, UnaryKernel<fn::Asin, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Acos", 7, UnaryKernel<fn::Acos, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Atan", 7, UnaryKernel<fn::Atan, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Sinh", 9, UnaryKernel<fn::Sinh, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Cosh", 9, UnaryKernel<fn::Cosh, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Asinh", 9, UnaryKernel<fn::Asinh, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Acosh", 9, UnaryKernel<fn::Acosh, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Atanh", 9, UnaryKernel<fn::Atanh, FloatTypes>);

}  // namespace
}  // namespace gradwire::cuda
