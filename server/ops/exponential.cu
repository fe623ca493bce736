#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_KERNEL("", "Exp", 1, UnaryKernel<fn::Exp, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Log", 1, UnaryKernel<fn::Log, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Sqrt", 1, UnaryKernel<fn::Sqrt, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Reciprocal", 1, UnaryKernel<fn::Reciprocal, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Erf", 9, UnaryKernel<fn::Erf, FloatTypes>);

}  // namespace
}  // namespace gradwire::cuda
