#include <algorithm>

#include "backend/cuda/launch.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/offsets.cuh"
#include "ops/reducers.h"

namespace gradwire::cuda {
namespace {

// Accumulators that threads can pass to each other: of four bytes or more.
template <class Acc>
using Passed = std::conditional_t<(sizeof(Acc) < sizeof(int32_t)), int32_t, Acc>;

// A result for each row: what its elements, `reduced` of them, come to. R is what is done to
// Computed<In>.
template <class R, class In>
struct Reduction {
  using Acc = typename R::Acc;
  const In* in;
  In* out;
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
      sum = R::Step(sum, static_cast<Acc>(Loaded(in[start[0] + at[0]])));
    }
    return sum;
  }
};

template <class R>
struct MergePassed {
  using Acc = typename R::Acc;
  GRADWIRE_FN Passed<Acc> operator()(Passed<Acc> a, Passed<Acc> b) const {
    return R::Merge(static_cast<Acc>(a), static_cast<Acc>(b));
  }
};

template <class R, class In>
struct ByTeam {
  Reduction<R, In> reduction;

  GRADWIRE_DEVICE void operator()(const Team& team, int64_t row) const {
    using Acc = typename R::Acc;
    const Acc mine = reduction.Sum(row, team.rank(), team.size());
    const auto all = static_cast<Acc>(team.Combine(Passed<Acc>(mine), MergePassed<R>()));
    if (team.rank() == 0) reduction.out[row] = Stored<In>(R::Finish(all, reduction.reduced));
  }
};

template <class R, class In>
struct ByThread {
  Reduction<R, In> reduction;

  GRADWIRE_FN void operator()(int64_t row) const {
    reduction.out[row] = Stored<In>(R::Finish(reduction.Sum(row, 0, 1), reduction.reduced));
  }
};

// Of each row `parts` accumulators, by a thread each. Neighbours read what lies beside: in a row,
// or across rows.
template <class R, class In>
struct ByParts {
  Reduction<R, In> reduction;
  int64_t rows;
  int64_t parts;
  bool across;
  typename R::Acc* sums;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t row = across ? i % rows : i / parts;
    const int64_t part = across ? i / rows : i % parts;
    sums[row * parts + part] = reduction.Sum(row, part, parts);
  }
};

template <class R, class Out>
struct MergeParts {
  const typename R::Acc* sums;
  int64_t parts;
  int64_t reduced;
  Out* out;

  GRADWIRE_DEVICE void operator()(const Team& team, int64_t row) const {
    using Acc = typename R::Acc;
    Acc mine = R::kFirst;
    for (int64_t part = team.rank(); part < parts; part += team.size()) {
      mine = R::Merge(mine, sums[row * parts + part]);
    }
    const auto all = static_cast<Acc>(team.Combine(Passed<Acc>(mine), MergePassed<R>()));
    if (team.rank() == 0) out[row] = Stored<Out>(R::Finish(all, reduced));
  }
};

// Rows that fill the GPU with a thread, or a team, for each.
constexpr int64_t kManyRows = 1 << 14;
constexpr int64_t kManyTeams = 1 << 10;
constexpr int64_t kManyThreads = 1 << 18;
constexpr int64_t kFew = 16;  // elements that are not worth a second thread
constexpr int64_t kOneTeam = 1 << 12;

template <class R, class In>
void ReduceRows(KernelContext& context, const Reduction<R, In>& reduction, int64_t rows,
                bool across) {
  Stream& stream = context.stream();
  if (reduction.reduced <= kFew || (across && rows >= kManyRows)) {
    return ForEach(stream, rows, ByThread<R, In>{reduction});
  }
  if (!across && (rows >= kManyTeams || reduction.reduced <= kOneTeam)) {
    return ForRows(stream, rows, reduction.reduced, ByTeam<R, In>{reduction});
  }
  const int64_t parts =
      std::clamp<int64_t>(kManyThreads / std::max<int64_t>(1, rows), 1, reduction.reduced / kFew);
  using Acc = typename R::Acc;
  const BufferPtr memory = context.Scratch(static_cast<size_t>(rows * parts) * sizeof(Acc));
  auto* const sums = static_cast<Acc*>(memory->data());
  ForEach(stream, rows * parts, ByParts<R, In>{reduction, rows, parts, across, sums});
  ForRows(stream, rows, parts, MergeParts<R, In>{sums, parts, reduction.reduced, reduction.out});
}

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
  const Reduction<R<Computed<T>>, T> reduction{context.in<T>(0), context.out<T>(0),
                                               NumElements(reduced),
                                               Offsets<1>::WithStrides(kept, {kept_strides}),
                                               Offsets<1>::WithStrides(reduced, {reduced_strides})};
  const bool across = !kept.empty() && (axes.empty() || axes.back() + 1 < int64_t(dims.size()));
  ReduceRows(context, reduction, context.output(0).numel(), across);
}

template <template <class> class R>
void ArithmeticKernel(KernelContext& context) {
  Dispatch(WithHalves<ArithmeticTypes>{}, context.input(0).dtype(),
           [&]<class T>() { ReduceAs<R, T>(context); });
}

template <template <class> class R>
void ExtremeKernel(KernelContext& context) {
  const DType dtype = context.input(0).dtype();
  if (dtype == DType::kBool) return ReduceAs<R, uint8_t>(context);  // the bytes 0 and 1
  Dispatch(WithHalves<NumberTypes>{}, dtype, [&]<class T>() { ReduceAs<R, T>(context); });
}

GRADWIRE_CUDA_KERNEL("gradwire", "ReduceSum", 1, ArithmeticKernel<SumOf>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceMean", 1, ArithmeticKernel<MeanOf>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceL1", 1, ArithmeticKernel<L1Of>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceSumSquare", 1, ArithmeticKernel<SumSquareOf>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceL2", 1, ArithmeticKernel<L2Of>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceProd", 1, ArithmeticKernel<ProdOf>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceMax", 1, ExtremeKernel<MaxOf>, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "ReduceMin", 1, ExtremeKernel<MinOf>, kHalvesInAll);

}  // namespace
}  // namespace gradwire::cuda
