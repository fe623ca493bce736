// How recurrent operators compute a step on the GPU: a product with R, and one kernel for all that
// is done with it.
#ifndef GRADWIRE_OPS_RECURRENT_STEPS_CUH_
#define GRADWIRE_OPS_RECURRENT_STEPS_CUH_

#include <cstdint>

#include "backend/cuda/launch.h"
#include "ops/cuda_kernel.h"
#include "ops/dot.cuh"
#include "ops/recurrent_arrays.h"

namespace gradwire::cuda {

// part(row, i) for each column i of each row of a cell: see ops/recurrent_cells.h.
template <class Cell, class Part>
struct EachElement {
  Cell cell;
  Part part;

  GRADWIRE_FN void operator()(int64_t at) const {
    const int64_t b = at / cell.n;
    part(cell.Row(b), at - b * cell.n);
  }
};

template <class Part, class Cell>
void RunCells(Stream& stream, const TimeSteps& steps, const Cell& cell) {
  ForEach(stream, steps.StateSize(), EachElement<Cell, Part>{cell, {}});
}

// A matrix of the batch's rows within a wider one, whose rows lie `row` elements apart.
template <class T>
struct Columns {
  T* data;
  int64_t row;
};

// to = from R', or to += from R' , for `outputs` rows of R[., inputs]; or with R as it is, of
// `inputs` rows and `outputs` columns.
enum class Times { kTransposed, kPlain };
template <class T>
void MultiplyBatch(Stream& stream, int64_t batch, Columns<const T> from, int64_t inputs, const T* r,
                   Times times, Columns<T> to, int64_t outputs, bool accumulate = false) {
  MultiplyAs<T>(stream, {.dtype = DTypeOf<T>(),
                         .m = batch,
                         .n = outputs,
                         .k = inputs,
                         .transpose_b = times == Times::kTransposed,
                         .a = from.data,
                         .b = r,
                         .c = to.data,
                         .a_row = from.row,
                         .c_row = to.row,
                         .accumulate = accumulate});
}

template <class T>
void ZeroState(KernelContext& k, const TimeSteps& steps, T* state) {
  k.stream().Zero(state, static_cast<size_t>(steps.StateSize()) * sizeof(T));
}

}  // namespace gradwire::cuda

#endif  // GRADWIRE_OPS_RECURRENT_STEPS_CUH_
