// Scatters combine updates in order, as on the CPU, so that a result is the same each time: blocks
// are sorted by where they go, and one thread goes through those of one place. Where sums may be
// taken in any order, each update is added as it comes.
#include "backend/cuda/sort.h"
#include "ops/blocks.cuh"
#include "ops/box.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"

namespace gradwire::cuda {
namespace {

struct Number {
  int64_t* out;
  GRADWIRE_FN void operator()(int64_t i) const { out[i] = i; }
};

// Blocks in the order of their offsets, and of their own where those are the same.
struct Sorted {
  BufferPtr memory;
  const int64_t* offsets;
  const int64_t* blocks;
};

Sorted Sort(KernelContext& k, const Blocks& blocks) {
  const int64_t n = blocks.count;
  Sorted sorted{k.Scratch(3 * static_cast<size_t>(n) * sizeof(int64_t)), nullptr, nullptr};
  auto* const numbers = static_cast<int64_t*>(sorted.memory->data());
  ForEach(k.stream(), n, Number{numbers});
  SortPairs(k.stream(), n, blocks.offsets, numbers + n, numbers, numbers + 2 * n);
  sorted.offsets = numbers + n;
  sorted.blocks = numbers + 2 * n;
  return sorted;
}

// A NaN on either side stays in an extreme, as in NumPy's maximum.
template <gradwire::Reduction kHow>
struct Combined {
  template <class T>
  GRADWIRE_FN T operator()(T x, T update) const {
    if constexpr (kHow == gradwire::Reduction::kNone) return update;
    if constexpr (kHow == gradwire::Reduction::kAdd) return static_cast<T>(x + update);
    if constexpr (kHow == gradwire::Reduction::kMul) return static_cast<T>(x * update);
    if constexpr (kHow == gradwire::Reduction::kMax) return x > update || x != x ? x : update;
    if constexpr (kHow == gradwire::Reduction::kMin) return x < update || x != x ? x : update;
  }
};

// Element i % size of all blocks that go where the i / size-th of the sorted ones goes, if it is
// the first such.
template <class T, class F>
struct CombineInto {
  const int64_t* offsets;
  const int64_t* blocks;
  int64_t count;
  int64_t size;
  const T* updates;
  T* to;
  F combine;

  GRADWIRE_FN void operator()(int64_t i) const {
    int64_t block = i / size;
    const int64_t column = i % size;
    const int64_t offset = offsets[block];
    if (block > 0 && offsets[block - 1] == offset) return;
    Computed<T> value = Loaded(to[offset + column]);
    for (; block < count && offsets[block] == offset; ++block) {
      value = combine(value, Loaded(updates[blocks[block] * size + column]));
    }
    to[offset + column] = value;
  }
};

template <gradwire::Reduction kHow, class T>
void ScatterAs(KernelContext& k, const Blocks& blocks, const Sorted& sorted) {
  using F = Combined<kHow>;
  ForEach(k.stream(), blocks.count * blocks.size,
          CombineInto<T, F>{sorted.offsets, sorted.blocks, blocks.count, blocks.size, k.in<T>(0),
                            k.out<T>(0), F{}});
}

template <class T>
void ScatterBy(KernelContext& k, const Blocks& blocks, const Sorted& sorted,
               gradwire::Reduction how) {
  switch (how) {
    case gradwire::Reduction::kNone:
      return ScatterAs<gradwire::Reduction::kNone, T>(k, blocks, sorted);
    case gradwire::Reduction::kAdd:
      return ScatterAs<gradwire::Reduction::kAdd, T>(k, blocks, sorted);
    case gradwire::Reduction::kMul:
      return ScatterAs<gradwire::Reduction::kMul, T>(k, blocks, sorted);
    case gradwire::Reduction::kMax:
      return ScatterAs<gradwire::Reduction::kMax, T>(k, blocks, sorted);
    case gradwire::Reduction::kMin:
      return ScatterAs<gradwire::Reduction::kMin, T>(k, blocks, sorted);
  }
}

template <class T>
struct AddUpdates {
  const int64_t* offsets;
  int64_t size;
  const T* updates;
  T* to;

  GRADWIRE_DEVICE void operator()(int64_t i) const {
    AddAtomically(to + offsets[i / size] + i % size, updates[i]);
  }
};

void Scatter(KernelContext& k, const Blocks& blocks, gradwire::Reduction how) {
  if (blocks.count == 0 || blocks.size == 0) return;
  if (how == gradwire::Reduction::kAdd && kFloats.Contains(k.output(0).dtype()) &&
      k.stream().math_mode().nondeterministic) {
    return Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() {
      ForEach(k.stream(), blocks.count * blocks.size,
              AddUpdates<T>{blocks.offsets, blocks.size, k.in<T>(0), k.out<T>(0)});
    });
  }
  const Sorted sorted = Sort(k, blocks);
  if (k.output(0).dtype() == DType::kBool) {
    if (how != gradwire::Reduction::kNone) {
      throw Error(reason::kOpUnsupported, "no kernel for element type bool");
    }
    return ScatterAs<gradwire::Reduction::kNone, bool>(k, blocks, sorted);
  }
  Dispatch(WithHalves<NumberTypes>{}, k.output(0).dtype(),
           [&]<class T>() { ScatterBy<T>(k, blocks, sorted, how); });
}

Blocks BlocksOf(KernelContext& k, const Dims& dims, const Tensor& indices) {
  if (k.attributes().Has("axis")) {
    const int axis = NormalizeAxis(k.attributes().Int("axis"), static_cast<int>(dims.size()));
    return BlocksOfElements(k, dims, indices, axis);
  }
  return BlocksOfTuples(k, dims, indices, static_cast<int>(k.attributes().Int("batch_dims", 0)));
}

void ScatterKernel(KernelContext& k) {
  const Tensor& y = k.output(0);
  const Blocks blocks = BlocksOf(k, y.dims(), k.input(1));
  if (k.has(2)) {
    CopyBox(k, {{y.numel()}, {1}, {1}}, y.dtype(), k.in<void>(2), 0, k.out<void>(0), 0);
  } else {
    k.stream().Zero(k.out<void>(0), y.bytes());
  }
  Scatter(k, blocks, ParseReduction(k.attributes().String("reduction", "none")));
}

void ScatterAddKernel(KernelContext& k) {
  const Tensor& y = k.output(0);
  const int axis = NormalizeAxis(k.attributes().Int("axis", 0), y.rank());
  const Blocks blocks = BlocksOnAxis(k, y.dims(), k.input(1), axis);
  k.stream().Zero(k.out<void>(0), y.bytes());
  Scatter(k, blocks, gradwire::Reduction::kAdd);
}

struct MarkLast {
  const int64_t* offsets;
  const int64_t* blocks;
  int64_t count;
  bool* last;

  GRADWIRE_FN void operator()(int64_t i) const {
    last[blocks[i]] = i + 1 == count || offsets[i + 1] != offsets[i];
  }
};

struct MarkAll {
  bool* last;
  GRADWIRE_FN void operator()(int64_t i) const { last[i] = true; }
};

void IsLastWriteKernel(KernelContext& k) {
  const std::vector<int64_t>& shape = k.attributes().Ints("shape");
  const Blocks blocks = BlocksOf(k, Dims(shape.begin(), shape.end()), k.input(0));
  bool* const last = k.out<bool>(0);
  if (blocks.size == 0) return ForEach(k.stream(), k.output(0).numel(), MarkAll{last});
  if (blocks.count == 0) return;
  const Sorted sorted = Sort(k, blocks);
  ForEach(k.stream(), blocks.count, MarkLast{sorted.offsets, sorted.blocks, blocks.count, last});
}

constexpr KernelTraits kHalvesInScatter = {.halves = 0b101};  // updates and data

GRADWIRE_CUDA_KERNEL("gradwire", "ScatterElements", 1, ScatterKernel, kHalvesInScatter);
GRADWIRE_CUDA_KERNEL("gradwire", "ScatterND", 1, ScatterKernel, kHalvesInScatter);
GRADWIRE_CUDA_KERNEL("gradwire", "ScatterAdd", 1, ScatterAddKernel, kHalvesInFirst);
GRADWIRE_CUDA_KERNEL("gradwire", "IsLastWrite", 1, IsLastWriteKernel);

}  // namespace
}  // namespace gradwire::cuda
