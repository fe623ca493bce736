#include "backend/cuda/kernel_cache.h"

#include "core/error.h"

namespace gradwire::cuda {
namespace {

// None is dropped: to unload one is to wait for all queues. What comes when there are so many runs
// without.
constexpr size_t kMostKernels = 4096;

}  // namespace

// NVRTC compiles one program at a time anyway.
GeneratedKernelPtr KernelCache::Get(const std::string& source) {
  const std::lock_guard lock(mutex_);
  if (const auto found = kernels_.find(source); found != kernels_.end()) return found->second;
  if (kernels_.size() >= kMostKernels) return nullptr;
  GeneratedKernelPtr& kernel = kernels_[source];
  try {
    kernel = driver_.Compile(source);
  } catch (const Error& error) {
    if (problem_.empty()) problem_ = ", no generated kernels: " + error.message();
  }
  return kernel;
}

std::string KernelCache::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

}  // namespace gradwire::cuda
