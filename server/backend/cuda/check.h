// Errors of the CUDA runtime and its libraries.
#ifndef GRADWIRE_BACKEND_CUDA_CHECK_H_
#define GRADWIRE_BACKEND_CUDA_CHECK_H_

#include <cuda_runtime.h>

namespace gradwire::cuda {

// Throws what a call on the current GPU failed with: DEVICE_FAILED, which is remembered, where
// nothing can run on it any more; OUT_OF_MEMORY where CUDA had none for a kernel's code or a graph;
// INTERNAL otherwise.
void Check(cudaError_t status, const char* what);

#define GRADWIRE_CUDA_CHECK(call) ::gradwire::cuda::Check((call), #call)

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_CHECK_H_
