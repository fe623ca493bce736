#include "ops/binary_functors.h"
#include "ops/elementwise.cuh"

namespace gradwire::cuda {
namespace {

GRADWIRE_CUDA_BINARY("gradwire", "Pow", 1, fn::Pow, NumberTypes);
GRADWIRE_CUDA_BINARY("", "Mod", 10, fn::Mod, NumberTypes);

}  // namespace
}  // namespace gradwire::cuda
