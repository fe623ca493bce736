// Matrix products on the GPU. The library gradwire_cuda implements it with cuBLASLt, the tests with
// loops.
#ifndef GRADWIRE_BACKEND_CUDA_BLAS_H_
#define GRADWIRE_BACKEND_CUDA_BLAS_H_

#include <cstdint>

#include "backend/backend.h"
#include "core/epilogue.h"

namespace gradwire::cuda {

// c = a b for `count` row-major matrices, which lie `..._step` elements apart (0: the same one
// again). Of 16-bit floats sums are float32, and rounded once, unless the stream's math mode has
// half_sums. a is m x k, or k x m where it is transposed; b likewise; c is m x n.
struct MatrixProduct {
  DType dtype = DType::kFloat32;
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false;
  bool transpose_b = false;
  const void* a = nullptr;
  const void* b = nullptr;
  void* c = nullptr;
  // Elements from a row of a, or of c, as it lies in memory, to the next; 0: no more than it has.
  int64_t a_row = 0;
  int64_t c_row = 0;
  int64_t count = 1;
  int64_t a_step = 0;
  int64_t b_step = 0;
  int64_t c_step = 0;
  // n elements that are added to each row, or nullptr. Not for float64.
  const void* bias = nullptr;
  // What is done to each element after that. Not for float64.
  Epilogue epilogue = Epilogue::kNone;
  // c += a b; without a bias and an epilogue.
  bool accumulate = false;
};

// Queues the product; float32 is rounded to TF32 where the stream's math mode has it. False, and
// nothing was queued, where cuBLASLt has no algorithm for it. REQUIRES: extents of at least 1; a
// CudaStream.
bool Multiply(Stream& stream, const MatrixProduct& product);

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_BLAS_H_
