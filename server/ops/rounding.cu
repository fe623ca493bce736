#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_UNARY("", "Abs", 1, fn::Abs, NumberTypes);
GRADWIRE_CUDA_UNARY("", "Sign", 9, fn::Sign, NumberTypes);
GRADWIRE_CUDA_UNARY("", "Floor", 1, fn::Floor, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Ceil", 1, fn::Ceil, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Round", 11, fn::Round, FloatTypes);

}  // namespace
}  // namespace gradwire::cuda
