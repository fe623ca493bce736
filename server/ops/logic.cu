#include "ops/binary_functors.h"
#include "ops/elementwise.cuh"
#include "ops/unary_functors.h"

namespace gradwire::cuda {
namespace {

using BoolTypes = TypeList<bool>;
using UnsignedTypes = TypeList<uint8_t, uint16_t, uint32_t, uint64_t>;

GRADWIRE_CUDA_BINARY("", "And", 7, fn::BitwiseAnd, BoolTypes);
GRADWIRE_CUDA_BINARY("", "Or", 7, fn::BitwiseOr, BoolTypes);
GRADWIRE_CUDA_BINARY("", "Xor", 7, fn::BitwiseXor, BoolTypes);
GRADWIRE_CUDA_UNARY("", "Not", 1, fn::Not, BoolTypes);
GRADWIRE_CUDA_BINARY("", "BitwiseAnd", 18, fn::BitwiseAnd, IntTypes);
GRADWIRE_CUDA_BINARY("", "BitwiseOr", 18, fn::BitwiseOr, IntTypes);
GRADWIRE_CUDA_BINARY("", "BitwiseXor", 18, fn::BitwiseXor, IntTypes);
GRADWIRE_CUDA_UNARY("", "BitwiseNot", 18, fn::BitwiseNot, IntTypes);
GRADWIRE_CUDA_BINARY("", "BitShift", 11, fn::BitShift, UnsignedTypes);

}  // namespace
}  // namespace gradwire::cuda
