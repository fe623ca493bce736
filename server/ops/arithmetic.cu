#include "ops/elementwise.cuh"
#include "ops/functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_KERNEL("", "Add", 7, BinaryKernel<fn::Add, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "Sub", 7, BinaryKernel<fn::Sub, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "Mul", 7, BinaryKernel<fn::Mul, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "Div", 7, BinaryKernel<fn::Div, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "Neg", 1, UnaryKernel<fn::Neg, SignedTypes>);

}  // namespace
}  // namespace gradwire::cuda
