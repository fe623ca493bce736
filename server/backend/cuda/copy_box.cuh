// Copies between boxes in a GPU's memory.
#ifndef GRADWIRE_BACKEND_CUDA_COPY_BOX_CUH_
#define GRADWIRE_BACKEND_CUDA_COPY_BOX_CUH_

#include <cuda_runtime.h>

#include "backend/box.h"

namespace gradwire::cuda {

// Driver::CopyBox. Throws OP_UNSUPPORTED for more dimensions, merged, than a kernel takes.
void CopyBoxOnGpu(cudaStream_t queue, const Box& box, size_t width, const void* from, void* to);

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_COPY_BOX_CUH_
