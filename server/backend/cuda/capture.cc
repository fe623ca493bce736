#include "backend/cuda/capture.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backend/caching_allocator.h"
#include "core/error.h"

namespace gradwire::cuda {
namespace {

// An array's part of a block: the block is free again when it ends.
class Lease : public Buffer {
 public:
  Lease(CaptureMemory::BlockPtr block, size_t bytes)
      : Buffer(block->memory->data(), bytes, block->memory->device()), block_(std::move(block)) {
    block_->taken = true;
  }
  ~Lease() override { block_->taken = false; }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

 private:
  const CaptureMemory::BlockPtr block_;
};

class Graph : public Recording {
 public:
  Graph(std::shared_ptr<Gpu> gpu, std::shared_ptr<Lane> lane, Driver::Graph graph)
      : gpu_(std::move(gpu)), lane_(std::move(lane)), graph_(graph) {}
  ~Graph() override { gpu_->driver->DeleteGraph(lane_->queue(), graph_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void Launch() override { gpu_->driver->LaunchGraph(lane_->queue(), graph_); }

 private:
  const std::shared_ptr<Gpu> gpu_;
  const std::shared_ptr<Lane> lane_;
  const Driver::Graph graph_;
};

}  // namespace

CaptureMemory::BlockPtr CaptureMemory::Find(size_t block_size) {
  std::erase_if(blocks_, [](const auto& block) { return block.expired(); });
  for (const auto& weak : blocks_) {
    BlockPtr block = weak.lock();
    if (block != nullptr && !block->taken && block->block_size == block_size) return block;
  }
  return nullptr;
}

BufferPtr CaptureStream::Allocate(size_t bytes) {
  const size_t block_size = CachingAllocator::BlockSize(bytes);
  CaptureMemory::BlockPtr block = memory_->Find(block_size);
  if (block == nullptr) {
    block = std::make_shared<CaptureMemory::Block>();
    block->memory = AllocateNew(bytes, /*may_wait=*/!recording_);
    block->block_size = block_size;
    memory_->Add(block);
  }
  if (std::find(used_.begin(), used_.end(), block) == used_.end()) used_.push_back(block);
  return std::make_shared<Lease>(std::move(block), bytes);
}

void CaptureStream::RequireNotRecording(const char* what) const {
  if (!recording_) return;
  throw Error(reason::kInternal, std::string(what) + " amid work that is recorded");
}

void CaptureStream::Upload(const void* host, Buffer& to, size_t bytes) {
  RequireNotRecording("an upload");
  CudaStream::Upload(host, to, bytes);
}

void CaptureStream::Download(const Buffer& from, void* host, size_t bytes) {
  RequireNotRecording("a download");
  CudaStream::Download(from, host, bytes);
}

void CaptureStream::Synchronize() {
  RequireNotRecording("a wait");
  CudaStream::Synchronize();
}

void CaptureStream::CheckLater(const Buffer& from, size_t bytes, const ArrayCheck& check) {
  RequireNotRecording("a check");
  CudaStream::CheckLater(from, bytes, check);
}

void CaptureStream::FinishChecks() {
  RequireNotRecording("a wait for checks");
  CudaStream::FinishChecks();
}

void CaptureStream::Begin() {
  gpu()->memory.BeginCapture();
  try {
    driver().BeginCapture(queue());
  } catch (...) {
    gpu()->memory.EndCapture();
    throw;
  }
  recording_ = true;
}

std::unique_ptr<Recording> CaptureStream::End() {
  recording_ = false;
  Driver::Graph graph = nullptr;
  try {
    graph = driver().EndCapture(queue());
  } catch (...) {
    gpu()->memory.EndCapture();
    throw;
  }
  gpu()->memory.EndCapture();
  return std::make_unique<Graph>(gpu(), lane(), graph);
}

void CaptureStream::GiveUp() noexcept {
  if (!recording_) return;
  try {
    End();
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): it is being given up
  }
}

}  // namespace gradwire::cuda
