#include "backend/cuda/launch.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

template <class T>
struct Candidate {
  T value;
  int64_t at;  // -1: none
};

// The better of two, of equal ones the first or the last. A NaN is above all, and the first of
// them.
template <bool kMax, bool kLast, class T>
struct Better {
  GRADWIRE_FN Candidate<T> operator()(const Candidate<T>& a, const Candidate<T>& b) const {
    if (a.at < 0) return b;
    if (b.at < 0) return a;
    const bool a_nan = a.value != a.value;
    const bool b_nan = b.value != b.value;
    if (a_nan || b_nan) {
      if (a_nan && b_nan) return a.at < b.at ? a : b;
      return a_nan ? a : b;
    }
    if (a.value == b.value) return (a.at < b.at) != kLast ? a : b;
    return (a.value > b.value) == kMax ? a : b;
  }
};

// Values that threads pass to each other: of eight bytes, with the index beside them.
template <class T>
using Passed = std::conditional_t<std::is_floating_point_v<Computed<T>>, double,
                                  std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;

template <bool kMax, bool kLast, class T>
struct Search {
  const T* in;
  int64_t* out;
  AxisSplit split;

  GRADWIRE_DEVICE void operator()(const Team& team, int64_t row) const {
    using Wide = Passed<T>;
    const Better<kMax, kLast, Wide> better;
    const T* from = in + row / split.inner * split.axis * split.inner + row % split.inner;
    Candidate<Wide> best{Wide(0), -1};
    for (int64_t k = team.rank(); k < split.axis; k += team.size()) {
      best = better(best, Candidate<Wide>{static_cast<Wide>(Loaded(from[k * split.inner])), k});
    }
    best = team.Combine(best, better);
    if (team.rank() == 0) out[row] = best.at;
  }
};

template <bool kMax>
void ArgExtremeKernel(KernelContext& context) {
  const Tensor& x = context.input(0);
  const AxisSplit split =
      SplitAt(x.dims(), NormalizeAxis(context.attributes().Int("axis", 0), x.rank()));
  const bool last = context.attributes().Int("select_last_index", 0) != 0;
  const int64_t rows = split.outer * split.inner;
  int64_t* const out = context.out<int64_t>(0);
  Dispatch(WithHalves<NumberTypes>{}, x.dtype(), [&]<class T>() {
    if (last) {
      ForRows(context.stream(), rows, split.axis,
              Search<kMax, true, T>{context.in<T>(0), out, split});
    } else {
      ForRows(context.stream(), rows, split.axis,
              Search<kMax, false, T>{context.in<T>(0), out, split});
    }
  });
}

GRADWIRE_CUDA_KERNEL("", "ArgMax", 1, ArgExtremeKernel<true>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("", "ArgMax", 12, ArgExtremeKernel<true>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("", "ArgMin", 1, ArgExtremeKernel<false>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("", "ArgMin", 12, ArgExtremeKernel<false>, kHalvesInAll);

}  // namespace
}  // namespace gradwire::cuda
