#include "ops/binary_functors.h"
#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_UNARY("", "Relu", 1, fn::Relu, SignedTypes);
GRADWIRE_CUDA_BINARY("gradwire", "ReluGrad", 1, fn::ReluGrad, FloatTypes);
GRADWIRE_CUDA_UNARY("", "LeakyRelu", 1, fn::LeakyRelu, FloatTypes);
GRADWIRE_CUDA_BINARY("", "PRelu", 7, fn::PRelu, NumberTypes);
GRADWIRE_CUDA_UNARY("", "Elu", 1, fn::Elu, FloatTypes);
GRADWIRE_CUDA_UNARY("", "HardSigmoid", 1, fn::HardSigmoid, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Shrink", 9, fn::Shrink, NumberTypes);

}  // namespace
}  // namespace gradwire::cuda
