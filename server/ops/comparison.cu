#include "ops/binary_functors.h"
#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

using EqualTypes = TypeList<float, double, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t,
                            uint32_t, uint64_t, bool>;

GRADWIRE_CUDA_KERNEL("", "Equal", 7, BinaryKernel<fn::Equal, EqualTypes>);
GRADWIRE_CUDA_KERNEL("", "Less", 7, BinaryKernel<fn::Less, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "Greater", 7, BinaryKernel<fn::Greater, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "LessOrEqual", 12, BinaryKernel<fn::LessOrEqual, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "GreaterOrEqual", 12, BinaryKernel<fn::GreaterOrEqual, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "IsNaN", 9, UnaryKernel<fn::IsNaN, FloatTypes>);
GRADWIRE_CUDA_KERNEL("", "IsInf", 10, UnaryKernel<fn::IsInf, FloatTypes>);

}  // namespace
}  // namespace gradwire::cuda
