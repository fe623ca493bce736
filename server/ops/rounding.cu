#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_KERNEL("", "Abs", 1, UnaryKernel<fn::Abs, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "Sign", 9, UnaryKernel<fn::Sign, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "Floor", 1, UnaryKernel<fn::Floor, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Ceil", 1, UnaryKernel<fn::Ceil, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Round", 11, UnaryKernel<fn::Round, FloatTypes>);

}  // namespace
}  // namespace gradwire::cuda
