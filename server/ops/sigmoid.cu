#include "ops/binary_functors.h"
#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_UNARY("", "Tanh", 1, fn::Tanh, FloatTypes);
GRADWIRE_CUDA_BINARY("gradwire", "TanhGrad", 1, fn::TanhGrad, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Sigmoid", 1, fn::Sigmoid, FloatTypes);
GRADWIRE_CUDA_BINARY("gradwire", "SigmoidGrad", 1, fn::SigmoidGrad, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Softplus", 1, fn::Softplus, FloatTypes);
GRADWIRE_CUDA_UNARY("gradwire", "GeluErf", 1, fn::Gelu, FloatTypes);
GRADWIRE_CUDA_UNARY("gradwire", "GeluTanh", 1, fn::GeluTanh, FloatTypes);
GRADWIRE_CUDA_BINARY("gradwire", "GeluGrad", 1, fn::GeluGrad, FloatTypes);

}  // namespace
}  // namespace gradwire::cuda
