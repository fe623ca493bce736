// The kernels that were generated for a GPU.
#ifndef GRADWIRE_BACKEND_CUDA_KERNEL_CACHE_H_
#define GRADWIRE_BACKEND_CUDA_KERNEL_CACHE_H_

#include <mutex>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "backend/cuda/driver.h"

namespace gradwire::cuda {

// By their source; all sessions of the GPU share them. Thread-safe.
class KernelCache {
 public:
  explicit KernelCache(Driver& driver) : driver_(driver) {}

  // Compiles what is new, which takes a part of a second, and keeps it. Null where that fails, or
  // has failed, or where there are too many.
  GeneratedKernelPtr Get(const std::string& source);
  // ", no generated kernels: " and what the compiler said when it first failed; empty before.
  std::string problem() const;

 private:
  Driver& driver_;
  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, GeneratedKernelPtr> kernels_;  // guarded
  std::string problem_;                                           // guarded
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_KERNEL_CACHE_H_
