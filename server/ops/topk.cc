// The k largest or smallest elements along an axis, and where they were.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"

namespace gradwire {
namespace {

Specs InferTopK(const OpCall& call) {
  const auto axis = static_cast<size_t>(call.Axis("axis", -1));
  const int64_t k = call.attributes().Int("k");
  Dims dims = call.dims(0);
  if (k < 0 || k > dims[axis]) {
    throw Error(reason::kInvalidArgument, fmt::format("k is {}, axis {} of {} has {} elements", k,
                                                      axis, ToString(call.spec(0)), dims[axis]));
  }
  dims[axis] = k;
  return {{call.dtype(0), dims}, {DType::kInt64, dims}};
}

template <class T>
struct Entry {
  T value;
  int64_t index;
};

// NaN is larger than all numbers; of equals the one with the lower index comes first.
template <bool kLargest, class T>
bool ComesFirst(const Entry<T>& a, const Entry<T>& b) {
  const auto less = [](T x, T y) {
    if constexpr (std::is_floating_point_v<T>) return x < y || (x == x && y != y);
    return x < y;
  };
  if (kLargest ? less(b.value, a.value) : less(a.value, b.value)) return true;
  if (kLargest ? less(a.value, b.value) : less(b.value, a.value)) return false;
  return a.index < b.index;
}

template <bool kLargest, class T>
void Select(std::vector<Entry<T>>& row, int64_t k, bool sorted) {
  const auto size = static_cast<int64_t>(row.size());
  if (k < size) std::nth_element(row.begin(), row.begin() + k, row.end(), ComesFirst<kLargest, T>);
  if (sorted) std::sort(row.begin(), row.begin() + k, ComesFirst<kLargest, T>);
}

template <class T>
void TopKRows(KernelContext& context, const AxisSplit& split) {
  const Attributes& attributes = context.attributes();
  const int64_t k = attributes.Int("k");
  const bool largest = attributes.Int("largest", 1) != 0;
  const bool sorted = attributes.Int("sorted", 1) != 0;
  const T* in = context.in<T>(0);
  T* values = context.out<T>(0);
  int64_t* indices = context.out<int64_t>(1);
  const int64_t grain = (1 << 12) / std::max<int64_t>(1, split.axis);
  ParallelFor(split.outer * split.inner, grain, [&](int64_t begin, int64_t end) {
    std::vector<Entry<T>> row(static_cast<size_t>(split.axis));
    for (int64_t r = begin; r < end; ++r) {
      const int64_t outer = r / split.inner;
      const int64_t inner = r % split.inner;
      const T* from = in + outer * split.axis * split.inner + inner;
      for (int64_t i = 0; i < split.axis; ++i) row[size_t(i)] = {from[i * split.inner], i};
      largest ? Select<true>(row, k, sorted) : Select<false>(row, k, sorted);
      for (int64_t i = 0; i < k; ++i) {
        const int64_t at = (outer * k + i) * split.inner + inner;
        values[at] = row[size_t(i)].value;
        indices[at] = row[size_t(i)].index;
      }
    }
  });
}

void TopKKernel(KernelContext& context) {
  const int axis = NormalizeAxis(context.attributes().Int("axis", -1), context.input(0).rank());
  const AxisSplit split = SplitAt(context.input(0).dims(), axis);
  Dispatch(NumberTypes{}, context.input(0).dtype(),
           [&]<class T>() { TopKRows<T>(context, split); });
}

Values TopKVjp(const VjpCall& call) {
  return {Call("ScatterElements", {ZerosLike(call.input_spec(0)), call.output(1), call.dy()},
               {{"axis", call.attributes().Int("axis", -1)}})};
}

GRADWIRE_OP({.name = "TopK",
             .domain = "gradwire",
             .outputs = {1, 2},
             .types = kNumbers,
             .attributes = {"axis", "k", "largest", "sorted"},
             .infer = InferTopK,
             .cpu = TopKKernel,
             .vjp = TopKVjp,
             .saves = {.outputs = 2}});

Values DecomposeTopK(const OpCall& call) {
  Attributes attributes = call.attributes();
  if (call.has(1)) attributes.Set("k", call.Int(1));
  return ApplyAll("gradwire::TopK", {call.input(0)}, std::move(attributes), call.num_outputs());
}

GRADWIRE_OP(
    {.name = "TopK", .outputs = {1, 2}, .attributes = {"axis", "k"}, .decompose = DecomposeTopK});
GRADWIRE_OP({.name = "TopK",
             .since = 10,
             .inputs = 2,
             .outputs = {1, 2},
             .attributes = {"axis"},
             .decompose = DecomposeTopK});
GRADWIRE_OP({.name = "TopK",
             .since = 11,
             .inputs = 2,
             .outputs = {1, 2},
             .types = kNumbers,
             .attributes = {"axis", "largest", "sorted"},
             .decompose = DecomposeTopK});

}  // namespace
}  // namespace gradwire
