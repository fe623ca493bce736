#include "backend/cuda/cuda_backend.h"

#include <utility>

#include "backend/caching_allocator.h"
#include "backend/cuda/capture.h"
#include "backend/quota.h"
#include "core/error.h"

namespace gradwire::cuda {
namespace {

constexpr size_t kSmallBytes = size_t{4} << 10;
constexpr int kSmallSlots = 512;
constexpr size_t kLargeBytes = size_t{1} << 20;
constexpr int kLargeSlots = 32;

class CudaBuffer : public Buffer {
 public:
  CudaBuffer(std::shared_ptr<Gpu> gpu, std::shared_ptr<Lane> lane, std::shared_ptr<Quota> quota,
             void* block, size_t bytes, size_t block_size)
      : Buffer(block, bytes, gpu->device),
        gpu_(std::move(gpu)),
        lane_(std::move(lane)),
        quota_(std::move(quota)),
        block_size_(block_size) {}
  ~CudaBuffer() override {
    gpu_->memory.Free(*lane_, data(), block_size_);
    quota_->Give(static_cast<int64_t>(block_size_));
  }

 private:
  const std::shared_ptr<Gpu> gpu_;
  const std::shared_ptr<Lane> lane_;
  const std::shared_ptr<Quota> quota_;
  const size_t block_size_;
};

Staging& StagingFor(Gpu& gpu, size_t bytes) { return bytes <= kSmallBytes ? gpu.small : gpu.large; }

}  // namespace

Gpu::Gpu(Device id, std::unique_ptr<Driver> runtime, size_t max_bytes)
    : device(id),
      driver(std::move(runtime)),
      memory(*driver, max_bytes),
      small(*driver, kSmallBytes, kSmallSlots),
      large(*driver, kLargeBytes, kLargeSlots),
      kernels(*driver) {}

CudaStream::CudaStream(std::shared_ptr<Gpu> gpu, std::shared_ptr<Quota> quota,
                       std::unique_ptr<Stream> host)
    : gpu_(std::move(gpu)),
      quota_(std::move(quota)),
      host_(std::move(host)),
      lane_(std::make_shared<Lane>(gpu_->memory)),
      checks_(std::make_shared<Checks>(*gpu_->driver)),
      early_(std::make_shared<EarlyCopies>(*gpu_->driver)) {}

BufferPtr CudaStream::Allocate(size_t bytes) { return AllocateNew(bytes, /*may_wait=*/true); }

BufferPtr CudaStream::AllocateNew(size_t bytes, bool may_wait) {
  const size_t block_size = CachingAllocator::BlockSize(bytes);
  quota_->Take(static_cast<int64_t>(block_size));
  void* block = nullptr;
  try {
    block = gpu_->memory.Allocate(*lane_, block_size, may_wait);
  } catch (...) {
    quota_->Give(static_cast<int64_t>(block_size));
    throw;
  }
  return std::make_shared<CudaBuffer>(gpu_, lane_, quota_, block, bytes, block_size);
}

void CudaStream::Upload(const void* host, Buffer& to, size_t bytes) {
  ++host_accesses_;
  StagingFor(*gpu_, bytes).Upload(queue(), to.data(), host, bytes);
}

void CudaStream::Download(const Buffer& from, void* host, size_t bytes) {
  ++host_accesses_;
  const size_t had = early_->Take(from, host, bytes);
  StagingFor(*gpu_, bytes)
      .Download(queue(), static_cast<char*>(host) + had,
                static_cast<const char*>(from.data()) + had, bytes - had);
}

void CudaStream::Prefetch(const BufferPtr& from) try {
  if (from->device() != device()) return;
  early_->Start(StagingFor(*gpu_, from->bytes()), queue(), from);
} catch (const Error&) {  // NOLINT(bugprone-empty-catch): who fetches is told what is wrong
}

void CudaStream::Zero(void* to, size_t bytes) {
  if (bytes != 0) driver().Zero(queue(), to, bytes);
}

void CudaStream::Copy(const Box& box, size_t width, const void* from, void* to) {
  driver().CopyBox(queue(), Merged(box), width, from, to);
}

void CudaStream::CheckLater(const Buffer& from, size_t bytes, const ArrayCheck& check) {
  ++host_accesses_;
  checks_->Add(queue(), from.data(), bytes, check);
}

// At the end of each command.
void CudaStream::FinishChecks() {
  early_->Sweep();
  checks_->Finish();
}

std::unique_ptr<Capture> CudaStream::NewCapture() {
  if (captures_ == nullptr) captures_ = std::make_shared<CaptureMemory>();
  return std::make_unique<GraphCapture>(*this, captures_);
}

GeneratedKernelPtr CudaStream::Compile(const std::string& source) {
  return gpu_->kernels.Get(source);
}

void CudaStream::Launch(const GeneratedKernel& kernel, int64_t count,
                        std::span<const std::byte> argument) {
  if (count > 0) driver().Launch(queue(), kernel, count, argument);
}

void CudaStream::Synchronize() {
  ++host_accesses_;
  driver().Synchronize(queue());
}

CudaBackend::CudaBackend(int index, std::unique_ptr<Driver> driver, Backend& host, size_t max_bytes)
    : gpu_(std::make_shared<Gpu>(Device{DeviceType::kCuda, index}, std::move(driver), max_bytes)),
      host_(host) {}

DeviceDescription CudaBackend::Describe() const {
  const GpuDescription gpu = gpu_->driver->Describe();
  return {.description = gpu.name,
          .library = gpu.library + gpu_->kernels.problem(),
          .memory_bytes = gpu.memory_bytes,
          .capability = gpu.capability};
}

std::unique_ptr<Stream> CudaBackend::NewStream(std::shared_ptr<Quota> quota) {
  auto host = host_.NewStream(quota);
  return std::make_unique<CudaStream>(gpu_, std::move(quota), std::move(host));
}

}  // namespace gradwire::cuda
