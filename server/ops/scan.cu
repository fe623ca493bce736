#include <algorithm>

#include "backend/cuda/launch.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

// Integers wrap; floating sums are kept in double.
template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<Computed<T>>, double, uint64_t>;

struct Plus {
  static constexpr int kFirst = 0;
  template <class A>
  GRADWIRE_FN A operator()(A a, A x) const {
    return a + x;
  }
};

struct Times {
  static constexpr int kFirst = 1;
  template <class A>
  GRADWIRE_FN A operator()(A a, A x) const {
    return a * x;
  }
};

// A line along the axis is one thread's: sums keep the order of the CPU's.
template <class Op, class T>
struct ScanLine {
  const T* in;
  T* out;
  AxisSplit split;
  bool exclusive;
  bool reverse;

  GRADWIRE_FN void operator()(int64_t line) const {
    const int64_t first = line / split.inner * split.axis * split.inner + line % split.inner;
    Wide<T> sum = Op::kFirst;
    for (int64_t k = 0; k < split.axis; ++k) {
      const int64_t at = first + (reverse ? split.axis - 1 - k : k) * split.inner;
      const Wide<T> next = Op()(sum, static_cast<Wide<T>>(Loaded(in[at])));
      out[at] = Stored<T>(exclusive ? sum : next);
      sum = next;
    }
  }
};

template <class Op>
void ScanKernel(KernelContext& k) {
  using Types = TypeList<float, double, int32_t, int64_t, uint32_t, uint64_t>;
  const Dims dims = k.input(0).rank() == 0 ? Dims{1} : k.input(0).dims();
  const Attributes& attributes = k.attributes();
  const int axis = NormalizeAxis(attributes.Int("axis"), static_cast<int>(dims.size()));
  const AxisSplit split = SplitAt(dims, axis);
  if (k.input(0).numel() == 0) return;
  Dispatch(WithHalves<Types>{}, k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), split.outer * split.inner,
            ScanLine<Op, T>{k.in<T>(0), k.out<T>(0), split, attributes.Int("exclusive") != 0,
                            attributes.Int("reverse") != 0});
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "CumSum", 1, ScanKernel<Plus>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "CumProd", 1, ScanKernel<Times>, kHalvesInAll);

}  // namespace
}  // namespace gradwire::cuda
