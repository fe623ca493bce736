#include <algorithm>

#include "backend/cuda/launch.h"
#include "backend/cuda/sort.h"
#include "ops/cuda_kernel.h"
#include "ops/taps.h"
#include "ops/value_check.cuh"

namespace gradwire::cuda {
namespace {

struct IsRow {
  int64_t rows;
  GRADWIRE_FN bool operator()(int64_t index) const { return index >= 0 && index < rows; }
};

// x is [n, m, c], y is [n, p, c], index and weight are [n or 1, p, k].
struct Taps {
  int64_t n, m, c, p, k;
  const int64_t* index;
  int64_t index_stride;
  int64_t weight_stride;

  // Of tap i of all n p k, the row of x, and where its weight is. An index that names no row stands
  // for the first.
  GRADWIRE_FN int64_t Row(int64_t i) const {
    const int64_t row = index[i / (p * k) * index_stride + i % (p * k)];
    return i / (p * k) * m + (IsRow{m}(row) ? row : 0);
  }
  GRADWIRE_FN int64_t Weight(int64_t i) const { return i / (p * k) * weight_stride + i % (p * k); }
};

// Refuses an index that names no row of x: at once where x has none.
Taps TapsOf(KernelContext& context, const Dims& x, const Dims& weight) {
  const Tensor& index = context.input(1);
  const int64_t p = index.dims()[1];
  const int64_t k = index.dims()[2];
  const Taps taps{x[0],
                  x[1],
                  x[2],
                  p,
                  k,
                  index.data<int64_t>(),
                  index.dims()[0] == 1 ? 0 : p * k,
                  weight[0] == 1 ? 0 : p * k};
  const int64_t count = taps.n > 0 ? index.numel() : 0;
  CheckValues(
      context, taps.index, count, IsRow{taps.m},
      [m = taps.m](const Bad& bad) { RefuseTap(bad.value, m); }, /*at_once=*/taps.m == 0);
  return taps;
}

template <class T>
struct GatherTaps {
  Taps taps;
  const T* x;
  const T* weight;
  T* y;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t first = i / taps.c * taps.k;
    T sum = 0;
    for (int64_t tap = first; tap < first + taps.k; ++tap) {
      const T w = weight[taps.Weight(tap)];
      if (w != T(0) || taps.c == 1) sum += w * x[taps.Row(tap) * taps.c + i % taps.c];
    }
    y[i] = sum;
  }
};

void GatherKernel(KernelContext& k) {
  const Taps taps = TapsOf(k, k.input(0).dims(), k.input(2).dims());
  Dispatch(FloatTypes{}, k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), k.output(0).numel(),
            GatherTaps<T>{taps, k.in<T>(0), k.in<T>(2), k.out<T>(0)});
  });
}

struct KeyOfTap {
  Taps taps;
  int64_t* rows;
  int64_t* numbers;

  GRADWIRE_FN void operator()(int64_t i) const {
    rows[i] = taps.Row(i);
    numbers[i] = i;
  }
};

// The first of the taps of one row adds up a column of all of them, in their order.
template <class T>
struct AddTaps {
  Taps taps;
  const int64_t* rows;
  const int64_t* numbers;
  int64_t count;
  const T* y;
  const T* weight;
  T* x;

  GRADWIRE_FN void operator()(int64_t i) const {
    int64_t at = i / taps.c;
    const int64_t column = i % taps.c;
    const int64_t row = rows[at];
    if (at > 0 && rows[at - 1] == row) return;
    T sum = 0;
    for (; at < count && rows[at] == row; ++at) {
      const T w = weight[taps.Weight(numbers[at])];
      if (w != T(0)) sum += w * y[numbers[at] / taps.k * taps.c + column];
    }
    x[row * taps.c + column] = sum;
  }
};

void ScatterKernel(KernelContext& k) {
  const Taps taps = TapsOf(k, k.output(0).dims(), k.input(2).dims());
  k.stream().Zero(k.out<void>(0), k.output(0).bytes());
  const int64_t count = taps.n * taps.p * taps.k;
  if (count == 0) return;
  const BufferPtr memory = k.Scratch(4 * static_cast<size_t>(count) * sizeof(int64_t));
  auto* const rows = static_cast<int64_t*>(memory->data());
  int64_t* const numbers = rows + count;
  int64_t* const sorted_rows = rows + 2 * count;
  int64_t* const sorted = rows + 3 * count;
  ForEach(k.stream(), count, KeyOfTap{taps, rows, numbers});
  SortPairs(k.stream(), count, rows, sorted_rows, numbers, sorted);
  Dispatch(FloatTypes{}, k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), count * taps.c,
            AddTaps<T>{taps, sorted_rows, sorted, count, k.in<T>(0), k.in<T>(2), k.out<T>(0)});
  });
}

template <class T>
struct DotTap {
  Taps taps;
  const T* x;
  const T* y;
  T* weight;

  GRADWIRE_FN void operator()(int64_t i) const {
    const T* row = x + taps.Row(i) * taps.c;
    const T* other = y + i / taps.k * taps.c;
    T sum = 0;
    for (int64_t c = 0; c < taps.c; ++c) sum += row[c] * other[c];
    weight[i] = sum;
  }
};

void DotKernel(KernelContext& k) {
  const Taps taps = TapsOf(k, k.input(0).dims(), k.output(0).dims());
  Dispatch(FloatTypes{}, k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), k.output(0).numel(), DotTap<T>{taps, k.in<T>(0), k.in<T>(2), k.out<T>(0)});
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "TapGather", 1, GatherKernel);
GRADWIRE_CUDA_KERNEL("gradwire", "TapScatter", 1, ScatterKernel);
GRADWIRE_CUDA_KERNEL("gradwire", "TapDot", 1, DotKernel);

}  // namespace
}  // namespace gradwire::cuda
