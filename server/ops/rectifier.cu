#include "ops/binary_functors.h"
#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_KERNEL("", "Relu", 1, UnaryKernel<fn::Relu, SignedTypes>);
GRADWIRE_CUDA_KERNEL("gradwire", "ReluGrad", 1, BinaryKernel<fn::ReluGrad, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "LeakyRelu", 1, UnaryKernel<fn::LeakyRelu, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "PRelu", 7, BinaryKernel<fn::PRelu, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "Elu", 1, UnaryKernel<fn::Elu, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "HardSigmoid", 1, UnaryKernel<fn::HardSigmoid, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Shrink", 9, UnaryKernel<fn::Shrink, NumberTypes>);

}  // namespace
}  // namespace gradwire::cuda
