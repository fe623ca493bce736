#include <vector>

#include "backend/cuda/launch.h"
#include "ops/cuda_kernel.h"
#include "ops/offsets.cuh"
#include "ops/reducers.h"

namespace gradwire::cuda {
namespace {

// Accumulators that threads can pass to each other: of four bytes or more.
template <class Acc>
using Passed = std::conditional_t<(sizeof(Acc) < sizeof(int32_t)), int32_t, Acc>;

// A result for each row: what its elements, `reduced` of them, come to.
template <class R, class In>
struct Reduction {
  using Acc = typename R::Acc;
  const In* in;
  typename R::Out* out;
  int64_t reduced;
  Offsets<1> kept_at;
  Offsets<1> reduced_at;

  GRADWIRE_FN Acc Sum(int64_t row, int64_t first, int64_t step) const {
    int64_t start[1];
    kept_at.Of(row, start);
    Acc sum = R::kFirst;
    for (int64_t k = first; k < reduced; k += step) {
      int64_t at[1];
      reduced_at.Of(k, at);
      sum = R::Step(sum, static_cast<Acc>(in[start[0] + at[0]]));
    }
    return sum;
  }
};

template <class R, class In>
struct ByTeam {
  Reduction<R, In> reduction;

  struct Merge {
    using Acc = typename R::Acc;
    GRADWIRE_FN Passed<Acc> operator()(Passed<Acc> a, Passed<Acc> b) const {
      return R::Merge(static_cast<Acc>(a), static_cast<Acc>(b));
    }
  };
  GRADWIRE_DEVICE void operator()(const Team& team, int64_t row) const {
    using Acc = typename R::Acc;
    const Acc mine = reduction.Sum(row, team.rank(), team.size());
    const auto all = static_cast<Acc>(team.Combine(Passed<Acc>(mine), Merge()));
    if (team.rank() == 0) reduction.out[row] = R::Finish(all, reduction.reduced);
  }
};

template <class R, class In>
struct ByThread {
  Reduction<R, In> reduction;

  GRADWIRE_FN void operator()(int64_t row) const {
    reduction.out[row] = R::Finish(reduction.Sum(row, 0, 1), reduction.reduced);
  }
};

// Rows that neighbour in memory and fill the GPU go to one thread each: its neighbours read what
// lies beside.
constexpr int64_t kManyRows = 1 << 14;

template <template <class> class R, class T>
void ReduceAs(KernelContext& context) {
  const Dims& dims = context.input(0).dims();
  const Dims strides = Strides(dims);
  const Dims axes = NormalizeAxes(context.attributes().Ints("axes"), static_cast<int>(dims.size()));
  Dims kept, kept_strides, reduced, reduced_strides;
  for (size_t d = 0; d < dims.size(); ++d) {
    const bool is_reduced = std::find(axes.begin(), axes.end(), int64_t(d)) != axes.end();
    (is_reduced ? reduced : kept).push_back(dims[d]);
    (is_reduced ? reduced_strides : kept_strides).push_back(strides[d]);
  }
  const int64_t rows = context.output(0).numel();
  const Reduction<R<T>, T> reduction{context.in<T>(0), context.out<T>(0), NumElements(reduced),
                                     Offsets<1>::WithStrides(kept, {kept_strides}),
                                     Offsets<1>::WithStrides(reduced, {reduced_strides})};
  const bool few = reduction.reduced <= 16;
  const bool side_by_side =
      !kept.empty() && (axes.empty() || axes.back() + 1 < int64_t(dims.size()));
  if (few || (side_by_side && rows >= kManyRows)) {
    ForEach(context.stream(), rows, ByThread<R<T>, T>{reduction});
  } else {
    ForRows(context.stream(), rows, reduction.reduced, ByTeam<R<T>, T>{reduction});
  }
}

using ArithmeticTypes = TypeList<float, double, int32_t, int64_t, uint32_t, uint64_t>;

template <template <class> class R>
void ArithmeticKernel(KernelContext& context) {
  Dispatch(ArithmeticTypes{}, context.input(0).dtype(),
           [&]<class T>() { ReduceAs<R, T>(context); });
}

// Bools are compared as the bytes 0 and 1.
template <template <class> class R>
void ExtremeKernel(KernelContext& context) {
  if (context.input(0).dtype() == DType::kBool) {
    ReduceAs<R, uint8_t>(context);
    return;
  }
  Dispatch(NumberTypes{}, context.input(0).dtype(), [&]<class T>() { ReduceAs<R, T>(context); });
}

GRADWIRE_CUDA_KERNEL("gradwire", "ReduceSum", 1, ArithmeticKernel<SumOf>);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceMean", 1, ArithmeticKernel<MeanOf>);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceL1", 1, ArithmeticKernel<L1Of>);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceSumSquare", 1, ArithmeticKernel<SumSquareOf>);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceL2", 1, ArithmeticKernel<L2Of>);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceProd", 1, ArithmeticKernel<ProdOf>);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceMax", 1, ExtremeKernel<MaxOf>);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceMin", 1, ExtremeKernel<MinOf>);

}  // namespace
}  // namespace gradwire::cuda
