// The k largest or smallest along an axis: all elements are sorted, then, stably, by their rows.
#include <bit>
#include <limits>

#include "backend/cuda/launch.h"
#include "backend/cuda/sort.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

// An integer that orders as the number does: NaN above all, both zeros alike.
template <class T>
GRADWIRE_FN int64_t OrderOf(T x) {
  if constexpr (std::is_floating_point_v<T>) {
    if (x != x) return std::numeric_limits<int64_t>::max();
    const auto wide = static_cast<double>(x) + 0.0;
    const auto bits = std::bit_cast<int64_t>(wide == 0 ? 0.0 : wide);
    return bits < 0 ? bits ^ std::numeric_limits<int64_t>::max() : bits;
  } else if constexpr (std::is_same_v<T, uint64_t>) {
    return std::bit_cast<int64_t>(x ^ (uint64_t{1} << 63));
  } else {
    return static_cast<int64_t>(x);
  }
}

// Elements are numbered row by row along the axis; Place says where one is.
struct Rows {
  AxisSplit split;

  GRADWIRE_FN int64_t Place(int64_t number) const {
    const int64_t row = number / split.axis;
    return (row / split.inner * split.axis + number % split.axis) * split.inner + row % split.inner;
  }
};

template <class T>
struct KeyOf {
  Rows rows;
  const T* in;
  bool largest;
  int64_t* keys;
  int64_t* numbers;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t order = OrderOf(Loaded(in[rows.Place(i)]));
    keys[i] = largest ? ~order : order;
    numbers[i] = i;
  }
};

struct RowOf {
  int64_t extent;
  const int64_t* numbers;
  int64_t* keys;

  GRADWIRE_FN void operator()(int64_t i) const { keys[i] = numbers[i] / extent; }
};

// Output i, of k in a row.
template <class T>
struct TakeFirst {
  Rows rows;
  int64_t k;
  const int64_t* numbers;
  const T* in;
  T* values;
  int64_t* indices;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t inner = rows.split.inner;
    const int64_t row = i / (k * inner) * inner + i % inner;
    const int64_t number = numbers[row * rows.split.axis + i / inner % k];
    values[i] = in[rows.Place(number)];
    indices[i] = number % rows.split.axis;
  }
};

template <class T>
void TopK(KernelContext& context, const Rows& rows) {
  const int64_t n = context.input(0).numel();
  Stream& stream = context.stream();
  const BufferPtr memory = context.Scratch(4 * static_cast<size_t>(n) * sizeof(int64_t));
  auto* const keys = static_cast<int64_t*>(memory->data());
  int64_t* const numbers = keys + n;
  int64_t* const sorted_keys = keys + 2 * n;
  int64_t* const sorted = keys + 3 * n;
  const bool largest = context.attributes().Int("largest", 1) != 0;
  ForEach(stream, n, KeyOf<T>{rows, context.in<T>(0), largest, keys, numbers});
  SortPairs(stream, n, keys, sorted_keys, numbers, sorted);
  ForEach(stream, n, RowOf{rows.split.axis, sorted, keys});
  SortPairs(stream, n, keys, sorted_keys, sorted, numbers);
  ForEach(stream, context.output(0).numel(),
          TakeFirst<T>{rows, context.attributes().Int("k"), numbers, context.in<T>(0),
                       context.out<T>(0), context.out<int64_t>(1)});
}

void TopKKernel(KernelContext& context) {
  if (context.output(0).numel() == 0) return;
  const Tensor& x = context.input(0);
  const int axis = NormalizeAxis(context.attributes().Int("axis", -1), x.rank());
  const Rows rows{SplitAt(x.dims(), axis)};
  Dispatch(WithHalves<NumberTypes>{}, x.dtype(), [&]<class T>() { TopK<T>(context, rows); });
}

GRADWIRE_CUDA_KERNEL("gradwire", "TopK", 1, TopKKernel, kHalvesInAll);

}  // namespace
}  // namespace gradwire::cuda
