#include "ops/binary_functors.h"
#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

using EqualTypes = TypeList<float, double, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t,
                            uint32_t, uint64_t, bool>;

GRADWIRE_CUDA_BINARY("", "Equal", 7, fn::Equal, EqualTypes);
GRADWIRE_CUDA_BINARY("", "Less", 7, fn::Less, NumberTypes);
GRADWIRE_CUDA_BINARY("", "Greater", 7, fn::Greater, NumberTypes);
GRADWIRE_CUDA_BINARY("", "LessOrEqual", 12, fn::LessOrEqual, NumberTypes);
GRADWIRE_CUDA_BINARY("", "GreaterOrEqual", 12, fn::GreaterOrEqual, NumberTypes);
GRADWIRE_CUDA_UNARY("", "IsNaN", 9, fn::IsNaN, FloatTypes);
GRADWIRE_CUDA_UNARY("", "IsInf", 10, fn::IsInf, FloatTypes);

}  // namespace
}  // namespace gradwire::cuda
