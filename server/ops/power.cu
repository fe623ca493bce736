#include "ops/binary_functors.h"
#include "ops/elementwise.cuh"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_KERNEL("gradwire", "Pow", 1, BinaryKernel<fn::Pow, NumberTypes>);
GRADWIRE_CUDA_KERNEL("", "Mod", 10, BinaryKernel<fn::Mod, NumberTypes>);

}  // namespace
}  // namespace gradwire::cuda
