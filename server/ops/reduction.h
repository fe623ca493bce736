// The loops of reductions over any axes. A reduction is a struct R<In> with
//   using Acc, using Out;
//   Acc first                         what nothing reduces to
//   Step(a, x), Merge(a, b)           templates: they also run on vectors of lanes
//   Out Finish(Acc, int64_t count)    the result, of `count` elements
#ifndef GRADWIRE_OPS_REDUCTION_H_
#define GRADWIRE_OPS_REDUCTION_H_

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/parallel.h"
#include "core/strided.h"
#include "graph/kernel.h"

namespace gradwire {

// An input's axes taken together into runs that are kept or reduced as one.
struct ReductionLayout {
  Dims kept, kept_strides;    // runs kept, but for a last one of stride 1
  int64_t inner = 1;          // that last one's extent
  Dims outer, outer_strides;  // runs reduced, but for the last
  int64_t count = 1;          // the last reduced run
  int64_t stride = 1;
  int64_t reduced = 1;  // elements that go into one result
};

// `axes` are normalised.
ReductionLayout LayoutReduction(const Dims& dims, const std::vector<int64_t>& axes);

namespace reduction_detail {

inline constexpr int64_t kTile = 1024;

// Of the steps [begin, end) of a contiguous run, in four vectors so that additions overlap.
template <class R, class In>
typename R::Acc Contiguous(const In* in, int64_t count) {
  using Acc = typename R::Acc;
  constexpr int64_t kLanes = 32 / sizeof(Acc);
  typedef Acc AccVector __attribute__((vector_size(kLanes * sizeof(Acc))));
  typedef In InVector __attribute__((vector_size(kLanes * sizeof(In))));
  AccVector sums[4];
  for (AccVector& sum : sums) sum = AccVector{} + R::kFirst;
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    for (int64_t k = 0; k < 4; ++k) {
      InVector x;
      std::memcpy(&x, in + i + k * kLanes, sizeof(x));
      sums[k] = R::Step(sums[k], __builtin_convertvector(x, AccVector));
    }
  }
  const AccVector lanes = R::Merge(R::Merge(sums[0], sums[1]), R::Merge(sums[2], sums[3]));
  Acc sum = R::kFirst;
  for (int64_t k = 0; k < kLanes; ++k) sum = R::Merge(sum, Acc(lanes[k]));
  for (; i < count; ++i) sum = R::Step(sum, static_cast<Acc>(in[i]));
  return sum;
}

// Rows of `width` side by side: one accumulator each.
template <class R, class In>
void AddRow(const In* __restrict in, typename R::Acc* __restrict sums, int64_t width) {
  using Acc = typename R::Acc;
  for (int64_t j = 0; j < width; ++j) sums[j] = R::Step(sums[j], static_cast<Acc>(in[j]));
}

// Accumulates results [first, first + width) of one kept index (`in` is where it begins) over the
// part [begin, end) of the last reduced run.
template <class R, class In>
void Accumulate(const ReductionLayout& layout, const In* in, int64_t begin, int64_t end,
                typename R::Acc* sums, int64_t width) {
  std::fill_n(sums, width, R::kFirst);
  Odometer outer(layout.outer, layout.outer_strides);
  const int64_t rows = NumElements(layout.outer);
  for (int64_t r = 0; r < rows; ++r, outer.Next()) {
    const In* run = in + outer.offset();
    if (layout.stride == 1) {
      sums[0] = R::Merge(sums[0], Contiguous<R>(run + begin, end - begin));
    } else {
      for (int64_t k = begin; k < end; ++k) AddRow<R>(run + k * layout.stride, sums, width);
    }
  }
}

}  // namespace reduction_detail

// REQUIRES: the input has elements.
template <class R, class In>
void Reduce(KernelContext& context, const ReductionLayout& layout, const In* in,
            typename R::Out* out) {
  using reduction_detail::kTile;
  using Acc = typename R::Acc;
  const int64_t tiles = (layout.inner + kTile - 1) / kTile;
  const int64_t kept = NumElements(layout.kept);
  const int64_t results = kept * layout.inner;
  // Where there are fewer results than threads, each takes a part of the last reduced run.
  const int64_t wanted = kept * tiles < Threads() ? (results * layout.reduced) >> 15 : 1;
  const int64_t parts = std::clamp<int64_t>(wanted, 1, std::min<int64_t>(Threads(), layout.count));
  const BufferPtr scratch =
      parts > 1 ? context.Scratch(static_cast<size_t>(parts * results) * sizeof(Acc)) : nullptr;
  Acc* partial = scratch ? static_cast<Acc*>(scratch->data()) : nullptr;
  const int64_t work = layout.reduced * std::min(layout.inner, kTile) / parts;
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, work));
  ParallelFor(kept * tiles * parts, grain, [&](int64_t begin, int64_t end) {
    Acc sums[kTile];
    Odometer kept_at(layout.kept, layout.kept_strides, begin / parts / tiles);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t part = task % parts;
      const int64_t first = (task / parts) % tiles * kTile;
      const int64_t index = task / parts / tiles;
      const int64_t width = std::min(kTile, layout.inner - first);
      reduction_detail::Accumulate<R>(layout, in + kept_at.offset() + first,
                                      layout.count * part / parts,
                                      layout.count * (part + 1) / parts, sums, width);
      const int64_t at = index * layout.inner + first;
      if (partial != nullptr) {
        std::copy_n(sums, width, partial + part * results + at);
      } else {
        for (int64_t j = 0; j < width; ++j) out[at + j] = R::Finish(sums[j], layout.reduced);
      }
      if ((task + 1) % (parts * tiles) == 0) kept_at.Next();
    }
  });
  for (int64_t i = 0; i < results && partial != nullptr; ++i) {
    Acc sum = partial[i];
    for (int64_t part = 1; part < parts; ++part) sum = R::Merge(sum, partial[part * results + i]);
    out[i] = R::Finish(sum, layout.reduced);
  }
}

}  // namespace gradwire

#endif  // GRADWIRE_OPS_REDUCTION_H_
