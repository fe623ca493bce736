#include "core/strided.h"
#include "ops/blocks.cuh"
#include "ops/cuda_kernel.h"

namespace gradwire::cuda {
namespace {

template <class T>
struct CopyOut {
  const T* from;
  T* to;
  const int64_t* offsets;
  int64_t size;

  GRADWIRE_FN void operator()(int64_t i) const { to[i] = from[offsets[i / size] + i % size]; }
};

void Copy(KernelContext& k, const Blocks& blocks) {
  if (blocks.size == 0) return;
  DispatchWidth(k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), blocks.count * blocks.size,
            CopyOut<T>{k.in<T>(0), k.out<T>(0), blocks.offsets, blocks.size});
  });
}

int AxisOf(KernelContext& k) {
  return NormalizeAxis(k.attributes().Int("axis", 0), k.input(0).rank());
}

void GatherKernel(KernelContext& k) {
  Copy(k, BlocksOnAxis(k, k.input(0).dims(), k.input(1), AxisOf(k)));
}

void GatherElementsKernel(KernelContext& k) {
  Copy(k, BlocksOfElements(k, k.input(0).dims(), k.input(1), AxisOf(k)));
}

void GatherNdKernel(KernelContext& k) {
  const auto batch_dims = static_cast<int>(k.attributes().Int("batch_dims", 0));
  Copy(k, BlocksOfTuples(k, k.input(0).dims(), k.input(1), batch_dims));
}

GRADWIRE_CUDA_KERNEL("", "Gather", 1, GatherKernel);
GRADWIRE_CUDA_KERNEL("", "GatherElements", 11, GatherElementsKernel);
GRADWIRE_CUDA_KERNEL("", "GatherND", 11, GatherNdKernel);
GRADWIRE_CUDA_KERNEL("", "GatherND", 12, GatherNdKernel);

}  // namespace
}  // namespace gradwire::cuda
