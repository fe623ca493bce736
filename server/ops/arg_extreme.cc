// Where along an axis the extreme is.
#include <fmt/format.h>

#include <algorithm>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"

namespace gradwire {
namespace {

Specs InferArgExtreme(const OpCall& call) {
  const auto axis = static_cast<size_t>(call.Axis("axis", 0));
  Dims dims = call.dims(0);
  if (dims[axis] == 0) {
    throw Error(reason::kShapeMismatch, fmt::format("axis {} of {} is empty: it has no extreme",
                                                    axis, ToString(call.spec(0))));
  }
  if (call.attributes().Int("keepdims", 1) != 0) {
    dims[axis] = 1;
  } else {
    dims.erase(dims.begin() + static_cast<int64_t>(axis));
  }
  return {{DType::kInt64, dims}};
}

// Whether x displaces the best so far. The first NaN is the extreme, as in NumPy.
template <bool kMax, bool kLast, class T>
bool Beats(T x, T best) {
  const bool better = kMax ? (kLast ? x >= best : x > best) : (kLast ? x <= best : x < best);
  if constexpr (std::is_floating_point_v<T>) return (better | (x != x)) & (best == best);
  return better;
}

constexpr int64_t kTile = 256;

template <bool kMax, bool kLast, class T>
void SearchTile(const T* __restrict in, int64_t* __restrict out, const AxisSplit& split,
                int64_t width) {
  T best[kTile];
  std::copy_n(in, width, best);
  std::fill_n(out, width, 0);
  for (int64_t k = 1; k < split.axis; ++k) {
    const T* row = in + k * split.inner;
    for (int64_t j = 0; j < width; ++j) {
      const bool beats = Beats<kMax, kLast>(row[j], best[j]);
      best[j] = beats ? row[j] : best[j];
      out[j] = beats ? k : out[j];
    }
  }
}

template <bool kMax, bool kLast, class T>
void SearchRow(const T* in, int64_t* out, int64_t count) {
  T best = in[0];
  int64_t at = 0;
  for (int64_t k = 1; k < count; ++k) {
    if (!Beats<kMax, kLast>(in[k], best)) continue;
    best = in[k];
    at = k;
  }
  *out = at;
}

template <bool kMax, bool kLast, class T>
void Search(const T* in, int64_t* out, const AxisSplit& split) {
  const int64_t tiles = (split.inner + kTile - 1) / kTile;
  const int64_t work = split.axis * std::min(split.inner, kTile);
  ParallelFor(split.outer * tiles, (1 << 15) / std::max<int64_t>(1, work),
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                  const int64_t first = i % tiles * kTile;
                  const T* from = in + i / tiles * split.axis * split.inner + first;
                  int64_t* to = out + i / tiles * split.inner + first;
                  if (split.inner == 1) {
                    SearchRow<kMax, kLast>(from, to, split.axis);
                  } else {
                    SearchTile<kMax, kLast>(from, to, split, std::min(kTile, split.inner - first));
                  }
                }
              });
}

template <bool kMax>
void ArgExtremeKernel(KernelContext& context) {
  const Attributes& attributes = context.attributes();
  const int axis = NormalizeAxis(attributes.Int("axis", 0), context.input(0).rank());
  const AxisSplit split = SplitAt(context.input(0).dims(), axis);
  Dispatch(NumberTypes{}, context.input(0).dtype(), [&]<class T>() {
    if (attributes.Int("select_last_index", 0) != 0) {
      Search<kMax, true>(context.in<T>(0), context.out<int64_t>(0), split);
    } else {
      Search<kMax, false>(context.in<T>(0), context.out<int64_t>(0), split);
    }
  });
}

OpDef Row(std::string_view name, int since, Kernel kernel) {
  OpDef row{.name = name,
            .since = since,
            .types = kNumbers,
            .attributes = {"axis", "keepdims"},
            .infer = InferArgExtreme,
            .cpu = kernel,
            .differentiable = false};
  if (since >= 12) row.attributes.push_back("select_last_index");
  return row;
}

GRADWIRE_OP(Row("ArgMax", 1, ArgExtremeKernel<true>));
GRADWIRE_OP(Row("ArgMax", 12, ArgExtremeKernel<true>));
GRADWIRE_OP(Row("ArgMin", 1, ArgExtremeKernel<false>));
GRADWIRE_OP(Row("ArgMin", 12, ArgExtremeKernel<false>));

}  // namespace
}  // namespace gradwire
