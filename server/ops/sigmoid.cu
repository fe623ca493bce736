#include "ops/binary_functors.h"
#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_KERNEL("", "Tanh", 1, UnaryKernel<fn::Tanh, FloatTypes>);
GRADWIRE_CUDA_KERNEL("gradwire", "TanhGrad", 1, BinaryKernel<fn::TanhGrad, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Sigmoid", 1, UnaryKernel<fn::Sigmoid, FloatTypes>);
GRADWIRE_CUDA_KERNEL("gradwire", "SigmoidGrad", 1, BinaryKernel<fn::SigmoidGrad, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "Softplus", 1, UnaryKernel<fn::Softplus, FloatTypes>);
GRADWIRE_CUDA_KERNEL("gradwire", "GeluErf", 1, UnaryKernel<fn::Gelu, FloatTypes>);
GRADWIRE_CUDA_KERNEL("gradwire", "GeluTanh", 1, UnaryKernel<fn::GeluTanh, FloatTypes>);
GRADWIRE_CUDA_KERNEL("gradwire", "GeluGrad", 1, BinaryKernel<fn::GeluGrad, FloatTypes>);

}  // namespace
}  // namespace gradwire::cuda
