// Sorting on the GPU. The library gradwire_cuda implements it with CUB, the tests with the standard
// library.
#ifndef GRADWIRE_BACKEND_CUDA_SORT_H_
#define GRADWIRE_BACKEND_CUDA_SORT_H_

#include <cstdint>

#include "backend/backend.h"

namespace gradwire::cuda {

// Queues a stable sort of n pairs by their keys into other arrays.
// REQUIRES: a CudaStream.
void SortPairs(Stream& stream, int64_t n, const int64_t* keys, int64_t* sorted_keys,
               const int64_t* values, int64_t* sorted_values);

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_SORT_H_
