#include "ops/blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/parallel.h"
#include "ops/strided.h"

namespace gradwire {
namespace {

constexpr int64_t kGrain = 1 << 14;

Blocks NewBlocks(KernelContext& k, int64_t count, int64_t size) {
  Blocks blocks{k.Scratch(static_cast<size_t>(count) * sizeof(int64_t)), nullptr, count, size};
  blocks.offsets = static_cast<int64_t*>(blocks.memory->data());
  return blocks;
}

template <class F>
void DispatchIndices(const Tensor& indices, F&& f) {
  Dispatch(TypeList<int32_t, int64_t>{}, indices.dtype(), std::forward<F>(f));
}

// Remembers an index that is out of range: loops on several threads may not throw.
class RangeCheck {
 public:
  // The index normalised; 0 where it is out of range.
  int64_t Normalize(int64_t index, int64_t extent) {
    const int64_t at = index < 0 ? index + extent : index;
    if (static_cast<uint64_t>(at) < static_cast<uint64_t>(extent)) return at;
    if (!failed_.exchange(true)) {
      index_ = index;
      extent_ = extent;
    }
    return 0;
  }
  void ThrowIfFailed() const {
    if (!failed_) return;
    throw Error(reason::kInvalidArgument,
                fmt::format("index {} is outside [-{}, {})", index_, extent_, extent_));
  }

 private:
  std::atomic<bool> failed_ = false;
  int64_t index_ = 0;
  int64_t extent_ = 0;
};

template <class T, class F>
void ScatterWith(const Blocks& blocks, const T* updates, T* to, int64_t to_elements, F combine) {
  const int64_t size = blocks.size;
  if (blocks.count == 0 || size == 0) return;
  if (size >= 256) {  // wide blocks: each thread takes some columns of all of them
    ParallelFor(size, std::max<int64_t>(64, kGrain / blocks.count),
                [&](int64_t begin, int64_t end) {
                  for (int64_t b = 0; b < blocks.count; ++b) {
                    T* target = to + blocks.offsets[b];
                    const T* source = updates + b * size;
                    for (int64_t i = begin; i < end; ++i) target[i] = combine(target[i], source[i]);
                  }
                });
    return;
  }
  // Narrow ones: each thread takes a range of the target. Offsets are multiples of the size.
  const int64_t targets = to_elements / size;
  const int64_t pieces = std::max<int64_t>(1, blocks.count * size / kGrain);
  ParallelFor(targets, (targets + pieces - 1) / pieces, [&](int64_t begin, int64_t end) {
    const bool whole = begin == 0 && end == targets;
    for (int64_t b = 0; b < blocks.count; ++b) {
      const int64_t offset = blocks.offsets[b];
      if (!whole && (offset < begin * size || offset >= end * size)) continue;
      const T* source = updates + b * size;
      for (int64_t i = 0; i < size; ++i) to[offset + i] = combine(to[offset + i], source[i]);
    }
  });
}

template <class T>
void Reduce(const Blocks& blocks, const T* updates, T* to, int64_t to_elements,
            Reduction reduction) {
  const auto run = [&](auto combine) { ScatterWith(blocks, updates, to, to_elements, combine); };
  switch (reduction) {
    case Reduction::kNone:
      return;  // ScatterBlocks moves
    case Reduction::kAdd:
      return run([](T x, T update) { return static_cast<T>(x + update); });
    case Reduction::kMul:
      return run([](T x, T update) { return static_cast<T>(x * update); });
    // A NaN on either side stays, as in NumPy's maximum.
    case Reduction::kMax:
      return run([](T x, T update) { return x > update || x != x ? x : update; });
    case Reduction::kMin:
      return run([](T x, T update) { return x < update || x != x ? x : update; });
  }
}

}  // namespace

void RequireIndexType(const TensorSpec& indices) {
  if (indices.dtype == DType::kInt32 || indices.dtype == DType::kInt64) return;
  throw Error(reason::kDtypeMismatch,
              fmt::format("indices must be int32 or int64, got {}", ToString(indices)));
}

Dims TupleUpdateDims(const Dims& dims, const TensorSpec& indices, int64_t batch_dims) {
  RequireIndexType(indices);
  const int rank = static_cast<int>(dims.size());
  if (batch_dims < 0 || batch_dims >= std::min(rank, indices.rank())) {
    throw Error(reason::kInvalidArgument,
                fmt::format("batch_dims is {}, data is {}, indices are {}: it must be less than "
                            "both ranks",
                            batch_dims, ToString(dims), ToString(indices)));
  }
  const int64_t width = indices.dims.back();
  const bool same_batch = std::equal(dims.begin(), dims.begin() + batch_dims, indices.dims.begin());
  if (!same_batch || width > rank - batch_dims) {
    throw Error(reason::kShapeMismatch,
                fmt::format("data is {}, indices are {}: the first {} extents must agree, and the "
                            "last of indices be at most {}",
                            ToString(dims), ToString(indices), batch_dims, rank - batch_dims));
  }
  Dims result(indices.dims.begin(), indices.dims.end() - 1);
  result.insert(result.end(), dims.begin() + batch_dims + width, dims.end());
  return result;
}

Reduction ParseReduction(const std::string& name) {
  if (name == "none") return Reduction::kNone;
  if (name == "add") return Reduction::kAdd;
  if (name == "mul") return Reduction::kMul;
  if (name == "max") return Reduction::kMax;
  if (name == "min") return Reduction::kMin;
  throw Error(reason::kInvalidArgument,
              fmt::format("reduction '{}' is not one of none, add, mul, max, min", name));
}

Blocks AxisBlocks(KernelContext& k, const Dims& dims, const Tensor& indices, int axis) {
  const AxisSplit split = SplitAt(dims, axis);
  const int64_t n = indices.numel();
  Blocks blocks = NewBlocks(k, split.outer * n, split.inner);
  RangeCheck check;
  DispatchIndices(indices, [&]<class T>() {
    const T* index = indices.data<T>();
    ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t at = check.Normalize(index[i], split.axis) * split.inner;
        for (int64_t o = 0; o < split.outer; ++o) {
          blocks.offsets[o * n + i] = o * split.axis * split.inner + at;
        }
      }
    });
  });
  check.ThrowIfFailed();
  return blocks;
}

Blocks ElementBlocks(KernelContext& k, const Dims& dims, const Tensor& indices, int axis) {
  Blocks blocks = NewBlocks(k, indices.numel(), 1);
  if (blocks.count == 0) return blocks;
  const Dims rows(indices.dims().begin(), indices.dims().end() - 1);
  const int64_t n = indices.dims().back();
  Dims strides = Strides(dims);
  const int64_t extent = dims[size_t(axis)];
  const int64_t stride = strides[size_t(axis)];
  strides[size_t(axis)] = 0;
  const int64_t step = strides.back();  // 1, or 0 along the axis itself
  strides.pop_back();
  RangeCheck check;
  DispatchIndices(indices, [&]<class T>() {
    const T* index = indices.data<T>();
    ParallelFor(NumElements(rows), kGrain / n + 1, [&](int64_t begin, int64_t end) {
      Odometer row(rows, strides, begin);
      for (int64_t r = begin; r < end; ++r, row.Next()) {
        for (int64_t j = 0; j < n; ++j) {
          blocks.offsets[r * n + j] =
              row.offset() + j * step + check.Normalize(index[r * n + j], extent) * stride;
        }
      }
    });
  });
  check.ThrowIfFailed();
  return blocks;
}

Blocks TupleBlocks(KernelContext& k, const Dims& dims, const Tensor& indices, int batch_dims) {
  const auto shared = static_cast<size_t>(batch_dims);
  const int64_t width = indices.dims().back();
  const int64_t count = NumElements(std::span(indices.dims()).first(indices.dims().size() - 1));
  const int64_t batches = NumElements(std::span(dims).first(shared));
  const int64_t batch_size = NumElements(std::span(dims).subspan(shared));
  const int64_t per_batch = batches == 0 ? 0 : count / batches;
  const Dims strides = Strides(dims);
  Blocks blocks = NewBlocks(k, count, NumElements(std::span(dims).subspan(shared + size_t(width))));
  RangeCheck check;
  DispatchIndices(indices, [&]<class T>() {
    const T* index = indices.data<T>();
    ParallelFor(count, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t offset = i / per_batch * batch_size;
        for (int64_t c = 0; c < width; ++c) {
          const size_t d = shared + static_cast<size_t>(c);
          offset += check.Normalize(index[i * width + c], dims[d]) * strides[d];
        }
        blocks.offsets[i] = offset;
      }
    });
  });
  check.ThrowIfFailed();
  return blocks;
}

void GatherBlocks(const Blocks& blocks, const Tensor& from, Tensor& to) {
  const int64_t size = blocks.size;
  if (size == 0) return;
  DispatchWidth(from.dtype(), [&]<class T>() {
    const T* source = from.data<T>();
    T* target = to.mutable_data<T>();
    ParallelFor(blocks.count, kGrain / size + 1, [&](int64_t begin, int64_t end) {
      if (size == 1) {
        for (int64_t b = begin; b < end; ++b) target[b] = source[blocks.offsets[b]];
        return;
      }
      for (int64_t b = begin; b < end; ++b) {
        std::memcpy(target + b * size, source + blocks.offsets[b],
                    static_cast<size_t>(size) * sizeof(T));
      }
    });
  });
}

void ScatterBlocks(const Blocks& blocks, const Tensor& updates, Tensor& to, Reduction reduction) {
  if (reduction == Reduction::kNone) {
    DispatchWidth(to.dtype(), [&]<class T>() {
      ScatterWith(blocks, updates.data<T>(), to.mutable_data<T>(), to.numel(),
                  [](T, T update) { return update; });
    });
    return;
  }
  Dispatch(NumberTypes{}, to.dtype(), [&]<class T>() {
    Reduce(blocks, updates.data<T>(), to.mutable_data<T>(), to.numel(), reduction);
  });
}

}  // namespace gradwire
