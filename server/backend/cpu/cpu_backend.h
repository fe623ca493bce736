// The CPU as a device: host memory, work done at once by the calling thread and its OpenMP team.
#ifndef GRADWIRE_BACKEND_CPU_CPU_BACKEND_H_
#define GRADWIRE_BACKEND_CPU_CPU_BACKEND_H_

#include <memory>

#include "backend/backend.h"
#include "backend/caching_allocator.h"

namespace gradwire {

class CpuBackend : public Backend {
 public:
  CpuBackend();

  Device device() const override { return {}; }
  DeviceDescription Describe() const override;
  std::unique_ptr<Stream> NewStream(std::shared_ptr<Quota> quota) override;
  MemoryStats memory() const override { return allocator_->stats(); }
  void ReleaseIdle() override;

 private:
  // Shared with each buffer, so that buffers may outlive the backend.
  std::shared_ptr<CachingAllocator> allocator_;
};

}  // namespace gradwire

#endif  // GRADWIRE_BACKEND_CPU_CPU_BACKEND_H_
