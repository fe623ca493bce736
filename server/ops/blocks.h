// What all gathers and scatters share: a list of equal blocks of an array, each given by the offset
// of its first element. Gathering copies them out in order; scattering writes them in order, so
// that the same indices always give the same result.
#ifndef GRADWIRE_OPS_BLOCKS_H_
#define GRADWIRE_OPS_BLOCKS_H_

#include <cstdint>
#include <string>

#include "graph/kernel.h"

namespace gradwire {

struct Blocks {
  BufferPtr memory;
  int64_t* offsets = nullptr;
  int64_t count = 0;
  int64_t size = 1;  // elements of a block
};

// The blocks of an array of `dims` that an int32 or int64 array of indices names. An index in
// [-extent, 0) counts from the end; any other outside [0, extent) throws INVALID_ARGUMENT.
//
// Gather: index i of `axis`, for each position before the axis; blocks are what follows the axis.
Blocks AxisBlocks(KernelContext& k, const Dims& dims, const Tensor& indices, int axis);
// GatherElements: one element each, at the index's own position but for `axis`.
Blocks ElementBlocks(KernelContext& k, const Dims& dims, const Tensor& indices, int axis);
// GatherND: the last axis of the indices holds tuples, which follow `batch_dims` shared axes.
Blocks TupleBlocks(KernelContext& k, const Dims& dims, const Tensor& indices, int batch_dims);

// What GatherND makes, and ScatterND takes as updates: the indices' extents but the last, then
// those of a block. Throws INVALID_ARGUMENT or SHAPE_MISMATCH where indices, data and batch_dims do
// not fit.
Dims TupleUpdateDims(const Dims& dims, const TensorSpec& indices, int64_t batch_dims);

// Throws DTYPE_MISMATCH unless the type is int32 or int64.
void RequireIndexType(const TensorSpec& indices);

// Throws INVALID_ARGUMENT for an index outside [-extent, extent).
[[noreturn]] void RefuseIndex(int64_t index, int64_t extent);

enum class Reduction { kNone, kAdd, kMul, kMax, kMin };
// "none", "add", "mul", "max", "min"; throws INVALID_ARGUMENT for others.
Reduction ParseReduction(const std::string& name);

void GatherBlocks(const Blocks& blocks, const Tensor& from, Tensor& to);
// Combines each block of `to` with the updates, which come block by block.
void ScatterBlocks(const Blocks& blocks, const Tensor& updates, Tensor& to, Reduction reduction);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_BLOCKS_H_
