#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_UNARY("", "Exp", 1, fn::Exp, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Log", 1, fn::Log, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Sqrt", 1, fn::Sqrt, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Reciprocal", 1, fn::Reciprocal, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Erf", 9, fn::Erf, FloatTypes);

}  // namespace
}  // namespace gradwire::cuda
