#include "ops/binary_functors.h"
#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

using BoolTypes = TypeList<bool>;
using UnsignedTypes = TypeList<uint8_t, uint16_t, uint32_t, uint64_t>;

GRADWIRE_CUDA_KERNEL("", "And", 7, BinaryKernel<fn::BitwiseAnd, BoolTypes>);
GRADWIRE_CUDA_KERNEL("", "Or", 7, BinaryKernel<fn::BitwiseOr, BoolTypes>);
GRADWIRE_CUDA_KERNEL("", "Xor", 7, BinaryKernel<fn::BitwiseXor, BoolTypes>);
GRADWIRE_CUDA_KERNEL("", "Not", 1, UnaryKernel<fn::Not, BoolTypes>);
GRADWIRE_CUDA_KERNEL("", "BitwiseAnd", 18, BinaryKernel<fn::BitwiseAnd, IntTypes>);
GRADWIRE_CUDA_KERNEL("", "BitwiseOr", 18, BinaryKernel<fn::BitwiseOr, IntTypes>);
GRADWIRE_CUDA_KERNEL("", "BitwiseXor", 18, BinaryKernel<fn::BitwiseXor, IntTypes>);
GRADWIRE_CUDA_KERNEL("", "BitwiseNot", 18, UnaryKernel<fn::BitwiseNot, IntTypes>);
GRADWIRE_CUDA_KERNEL("", "BitShift", 11, BinaryKernel<fn::BitShift, UnsignedTypes>);

}  // namespace
}  // namespace gradwire::cuda
