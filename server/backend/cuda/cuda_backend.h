// A GPU as a device: the host's side of it, which needs no CUDA to be compiled.
#ifndef GRADWIRE_BACKEND_CUDA_CUDA_BACKEND_H_
#define GRADWIRE_BACKEND_CUDA_CUDA_BACKEND_H_

#include <memory>
#include <mutex>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/checks.h"
#include "backend/cuda/device_memory.h"
#include "backend/cuda/driver.h"
#include "backend/cuda/early_copies.h"
#include "backend/cuda/kernel_cache.h"
#include "backend/cuda/staging.h"

namespace gradwire::cuda {

class CaptureMemory;  // capture.h

// What the streams and buffers of a GPU share, and keep alive.
struct Gpu {
  Gpu(Device id, std::unique_ptr<Driver> runtime, size_t max_bytes);

  const Device device;
  const std::unique_ptr<Driver> driver;
  DeviceMemory memory;
  Staging small;  // for scalars and parameters, of which many are under way
  Staging large;
  KernelCache kernels;
};

// A session's queue. What is called returns before it is done, but for Download and Synchronize.
class CudaStream : public Stream {
 public:
  // `host`: of memory for what is computed there.
  CudaStream(std::shared_ptr<Gpu> gpu, std::shared_ptr<Quota> quota, std::unique_ptr<Stream> host);

  Device device() const override { return gpu_->device; }
  BufferPtr Allocate(size_t bytes) override;
  void Upload(const void* host, Buffer& to, size_t bytes) override;
  void Download(const Buffer& from, void* host, size_t bytes) override;
  void Prefetch(const BufferPtr& from) override;
  void Zero(void* to, size_t bytes) override;
  void Copy(const Box& box, size_t width, const void* from, void* to) override;
  GeneratedKernelPtr Compile(const std::string& source) override;
  void Launch(const GeneratedKernel& kernel, int64_t count,
              std::span<const std::byte> argument) override;
  int64_t host_accesses() const override { return host_accesses_; }
  std::unique_ptr<Capture> NewCapture() override;
  bool can_capture() const override { return true; }
  void Synchronize() override;
  void CheckLater(const Buffer& from, size_t bytes, const ArrayCheck& check) override;
  void FinishChecks() override;
  void ForgetChecks() noexcept override { checks_->Forget(); }
  const std::shared_ptr<Quota>& quota() const override { return quota_; }
  Stream& host() override { return *host_; }

  // For kernels: where to launch.
  Driver& driver() { return *gpu_->driver; }
  Driver::Queue queue() { return lane_->queue(); }

 protected:
  // Another stream of the same queue.
  CudaStream(const CudaStream&) = default;

  BufferPtr AllocateNew(size_t bytes, bool may_wait);
  const std::shared_ptr<Gpu>& gpu() const { return gpu_; }
  const std::shared_ptr<Lane>& lane() const { return lane_; }

 private:
  const std::shared_ptr<Gpu> gpu_;
  const std::shared_ptr<Quota> quota_;
  const std::shared_ptr<Stream> host_;
  const std::shared_ptr<Lane> lane_;
  // Of the queue, whichever of its streams they come from.
  const std::shared_ptr<Checks> checks_;
  const std::shared_ptr<EarlyCopies> early_;
  std::shared_ptr<CaptureMemory> captures_;  // made when it is first needed
  int64_t host_accesses_ = 0;
};

class CudaBackend : public Backend {
 public:
  // `host` computes what the GPU has no kernel for, and outlives the backend. At most `max_bytes`
  // of the GPU's memory are taken.
  CudaBackend(int index, std::unique_ptr<Driver> driver, Backend& host,
              size_t max_bytes = SIZE_MAX);

  Device device() const override { return gpu_->device; }
  DeviceDescription Describe() const override;
  std::unique_ptr<Stream> NewStream(std::shared_ptr<Quota> quota) override;
  MemoryStats memory() const override { return gpu_->memory.stats(); }
  std::string problem() const override { return gpu_->driver->problem(); }

 private:
  const std::shared_ptr<Gpu> gpu_;
  Backend& host_;
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_CUDA_BACKEND_H_
