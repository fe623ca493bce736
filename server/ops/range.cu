#include "backend/cuda/launch.h"
#include "ops/cuda_kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

template <class T>
struct Numbers {
  T* out;
  uint64_t start;
  uint64_t delta;

  GRADWIRE_FN void operator()(int64_t i) const {
    out[i] = static_cast<T>(start + static_cast<uint64_t>(i) * delta);
  }
};

void RangeKernel(KernelContext& context) {
  const auto start = static_cast<uint64_t>(context.attributes().Int("start"));
  const auto delta = static_cast<uint64_t>(context.attributes().Int("delta"));
  Dispatch(TypeList<int16_t, int32_t, int64_t>{}, context.output(0).dtype(), [&]<class T>() {
    ForEach(context.stream(), context.output(0).numel(),
            Numbers<T>{context.out<T>(0), start, delta});
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "Range", 1, RangeKernel);

}  // namespace
}  // namespace gradwire::cuda
