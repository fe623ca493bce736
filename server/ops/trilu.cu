#include <algorithm>

#include "backend/cuda/launch.h"
#include "core/strided.h"
#include "ops/cuda_kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

// Row i keeps the columns from i + k on, or those up to it.
template <class T>
struct Triangle {
  const T* in;
  T* out;
  int64_t rows;
  int64_t columns;
  int64_t k;
  bool upper;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t column = i % columns;
    const int64_t diagonal = i / columns % rows + k;
    out[i] = (upper ? column >= diagonal : column <= diagonal) ? in[i] : T{0};
  }
};

void TriluKernel(KernelContext& context) {
  const Dims& dims = context.input(0).dims();
  const int64_t columns = dims.back();
  const int64_t rows = dims[dims.size() - 2];
  const bool upper = context.attributes().Int("upper") != 0;
  const int64_t k = std::clamp(context.attributes().Int("k"), -rows, columns);
  DispatchWidth(context.input(0).dtype(), [&]<class T>() {
    ForEach(context.stream(), context.input(0).numel(),
            Triangle<T>{context.in<T>(0), context.out<T>(0), rows, columns, k, upper});
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "Trilu", 1, TriluKernel);

}  // namespace
}  // namespace gradwire::cuda
