#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_UNARY("", "Sin", 7, fn::Sin, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Cos", 7, fn::Cos, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Tan", 7, fn::Tan, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Asin", 7, fn::Asin, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Acos", 7, fn::Acos, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Atan", 7, fn::Atan, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Sinh", 9, fn::Sinh, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Cosh", 9, fn::Cosh, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Asinh", 9, fn::Asinh, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Acosh", 9, fn::Acosh, FloatTypes);
GRADWIRE_CUDA_UNARY("", "Atanh", 9, fn::Atanh, FloatTypes);

}  // namespace
}  // namespace gradwire::cuda
