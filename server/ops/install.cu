#include "backend/cuda/registration.h"
#include "ops/cuda_kernel.h"

namespace gradwire::cuda {

void InstallKernels() {
  for (const KernelRow& row : KernelRows()) {
    if (!Registry::Global().AddKernel(row.domain, row.name, row.since, DeviceType::kCuda,
                                      row.kernel, row.traits)) {
      throw Error(reason::kInternal,
                  "a CUDA kernel for " + std::string(row.name) + ", which has no such row");
    }
  }
  for (const FunctorRow& row : FunctorRows()) {
    if (!Registry::Global().AddFunctor(row.domain, row.name, row.since, row.functor)) {
      throw Error(reason::kInternal,
                  "a functor for " + std::string(row.name) + ", which has no such row");
    }
  }
}

}  // namespace gradwire::cuda
