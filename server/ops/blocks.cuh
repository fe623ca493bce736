// Gathers and scatters on the GPU: as ops/blocks.h has it, a list of equal blocks of an array, each
// given by the offset of its first element.
#ifndef GRADWIRE_OPS_BLOCKS_CUH_
#define GRADWIRE_OPS_BLOCKS_CUH_

#include <algorithm>

#include "backend/cuda/launch.h"
#include "core/error.h"
#include "graph/kernel.h"
#include "ops/blocks.h"
#include "ops/offsets.cuh"
#include "ops/real_math.h"
#include "ops/value_check.cuh"

namespace gradwire::cuda {

// An index that is out of range, as a kernel tells it: its position plus one (0: there is none),
// itself, and the extent.
struct IndexFault {
  int64_t position;
  int64_t index;
  int64_t extent;
};

// Finds(i, fault): the offset of index i's block; sets the fault where an index is out of range.
template <class Find>
struct FindAll {
  Find find;
  int64_t* offsets;
  IndexFault* fault;

  GRADWIRE_FN void operator()(int64_t i) const {
    IndexFault mine{0, 0, 0};
    offsets[i] = find(i, mine);
    if (mine.position != 0) fault->position = i + 1;  // of several, any
  }
};

template <class Find>
struct TellFault {
  Find find;
  IndexFault* fault;

  GRADWIRE_FN void operator()(int64_t) const {
    if (fault->position != 0) find(fault->position - 1, *fault);
  }
};

// The index normalised; 0, and a fault, where it is out of range.
GRADWIRE_FN int64_t NormalizeIndex(int64_t index, int64_t extent, IndexFault& fault) {
  const int64_t at = index < 0 ? index + extent : index;
  if (at >= 0 && at < extent) return at;
  fault = {fault.position == 0 ? 1 : fault.position, index, extent};
  return 0;
}

// Fills in the offsets, among `size` elements. An index out of range is refused later, with
// INVALID_ARGUMENT: until then it counts as 0. Where there is no element, it is refused at once.
template <class Find>
void FindBlocks(KernelContext& k, Blocks& blocks, int64_t size, const Find& find) {
  if (blocks.count == 0) return;
  Stream& stream = k.stream();
  const BufferPtr memory = k.Scratch(sizeof(IndexFault));
  auto* const fault = static_cast<IndexFault*>(memory->data());
  stream.Zero(fault, sizeof(IndexFault));
  ForEach(stream, blocks.count, FindAll<Find>{find, blocks.offsets, fault});
  ForEach(stream, 1, TellFault<Find>{find, fault});
  const auto check = [](const void* found) {
    const auto& told = *static_cast<const IndexFault*>(found);
    if (told.position != 0) RefuseIndex(told.index, told.extent);
  };
  if (size == 0) return CheckNow(k, *memory, sizeof(IndexFault), check);
  k.CheckLater(*memory, sizeof(IndexFault), check);
}

inline Blocks NewBlocks(KernelContext& k, int64_t count, int64_t size) {
  Blocks blocks{k.Scratch(static_cast<size_t>(count) * sizeof(int64_t)), nullptr, count, size};
  blocks.offsets = static_cast<int64_t*>(blocks.memory->data());
  return blocks;
}

template <class T>
struct FindOnAxis {
  const T* index;
  int64_t n;
  AxisSplit split;

  GRADWIRE_FN int64_t operator()(int64_t i, IndexFault& fault) const {
    const int64_t at = NormalizeIndex(index[i % n], split.axis, fault);
    return (i / n * split.axis + at) * split.inner;
  }
};

template <class T>
struct FindElement {
  const T* index;
  Offsets<1> others;  // of the axes but one
  int64_t extent;
  int64_t stride;

  GRADWIRE_FN int64_t operator()(int64_t i, IndexFault& fault) const {
    int64_t at[1];
    others.Of(i, at);
    return at[0] + NormalizeIndex(index[i], extent, fault) * stride;
  }
};

template <class T>
struct FindTuple {
  const T* index;
  int64_t width;
  int64_t per_batch;
  int64_t batch_size;
  int64_t extents[Offsets<1>::kMaxRank];
  int64_t strides[Offsets<1>::kMaxRank];

  GRADWIRE_FN int64_t operator()(int64_t i, IndexFault& fault) const {
    int64_t offset = i / per_batch * batch_size;
    for (int64_t c = 0; c < width; ++c) {
      offset += NormalizeIndex(index[i * width + c], extents[c], fault) * strides[c];
    }
    return offset;
  }
};

using IndexTypes = TypeList<int32_t, int64_t>;

inline Blocks BlocksOnAxis(KernelContext& k, const Dims& dims, const Tensor& indices, int axis) {
  const AxisSplit split = SplitAt(dims, axis);
  const int64_t n = indices.numel();
  Blocks blocks = NewBlocks(k, split.outer * n, split.inner);
  Dispatch(IndexTypes{}, indices.dtype(), [&]<class T>() {
    FindBlocks(k, blocks, NumElements(dims), FindOnAxis<T>{indices.data<T>(), n, split});
  });
  return blocks;
}

inline Blocks BlocksOfElements(KernelContext& k, const Dims& dims, const Tensor& indices,
                               int axis) {
  Blocks blocks = NewBlocks(k, indices.numel(), 1);
  Dims strides = Strides(dims);
  const int64_t stride = strides[size_t(axis)];
  strides[size_t(axis)] = 0;
  const auto others = Offsets<1>::WithStrides(indices.dims(), {strides});
  Dispatch(IndexTypes{}, indices.dtype(), [&]<class T>() {
    FindBlocks(k, blocks, NumElements(dims),
               FindElement<T>{indices.data<T>(), others, dims[size_t(axis)], stride});
  });
  return blocks;
}

inline Blocks BlocksOfTuples(KernelContext& k, const Dims& dims, const Tensor& indices,
                             int batch_dims) {
  const auto shared = static_cast<size_t>(batch_dims);
  const int64_t width = indices.dims().back();
  const int64_t count = NumElements(std::span(indices.dims()).first(indices.dims().size() - 1));
  const int64_t batches = NumElements(std::span(dims).first(shared));
  Blocks blocks = NewBlocks(k, count, NumElements(std::span(dims).subspan(shared + size_t(width))));
  if (width > Offsets<1>::kMaxRank) {
    throw Error(reason::kOpUnsupported, "too many dimensions for a kernel on this device");
  }
  const Dims strides = Strides(dims);
  Dispatch(IndexTypes{}, indices.dtype(), [&]<class T>() {
    FindTuple<T> find{indices.data<T>(),
                      width,
                      batches == 0 ? 1 : std::max<int64_t>(1, count / batches),
                      NumElements(std::span(dims).subspan(shared)),
                      {},
                      {}};
    for (size_t c = 0; c < static_cast<size_t>(width); ++c) {
      find.extents[c] = dims[shared + c];
      find.strides[c] = strides[shared + c];
    }
    FindBlocks(k, blocks, NumElements(dims), find);
  });
  return blocks;
}

}  // namespace gradwire::cuda

#endif  // GRADWIRE_OPS_BLOCKS_CUH_
