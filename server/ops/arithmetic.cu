#include "ops/elementwise.cuh"
#include "ops/functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_BINARY("", "Add", 7, fn::Add, NumberTypes);
GRADWIRE_CUDA_BINARY("", "Sub", 7, fn::Sub, NumberTypes);
GRADWIRE_CUDA_BINARY("", "Mul", 7, fn::Mul, NumberTypes);
GRADWIRE_CUDA_BINARY("", "Div", 7, fn::Div, NumberTypes);
GRADWIRE_CUDA_UNARY("", "Neg", 1, fn::Neg, SignedTypes);

}  // namespace
}  // namespace gradwire::cuda
