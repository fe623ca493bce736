#include "backend/cuda/device_memory.h"

#include <fmt/format.h>

#include <string>

#include "core/error.h"

namespace gradwire::cuda {

Lane::Lane(DeviceMemory& memory) : memory_(memory), queue_(memory.driver().NewQueue()) {}

Lane::~Lane() {
  memory_.driver().DeleteQueue(queue_);
  memory_.Close(*this);
}

DeviceMemory::~DeviceMemory() { ReleaseAllLocked(); }

void* DeviceMemory::TakeFrom(Cache& cache, size_t block_size) {
  const auto found = cache.find(block_size);
  if (found == cache.end() || found->second.empty()) return nullptr;
  void* const block = found->second.back();
  found->second.pop_back();
  return block;
}

void* DeviceMemory::Allocate(Lane& lane, size_t block_size, bool may_wait) {
  const auto bytes = static_cast<int64_t>(block_size);
  std::unique_lock lock(mutex_);
  void* block = TakeFrom(lanes_[&lane], block_size);
  if (block == nullptr) block = TakeFrom(idle_, block_size);
  if (block != nullptr) {
    stats_.cached_bytes -= bytes;
  } else {
    block = AllocateNewLocked(block_size);
  }
  if (block == nullptr && stats_.cached_bytes > 0 && may_wait) {
    no_capture_.wait(lock, [this] { return captures_ == 0; });
    driver_.SynchronizeAll();
    ReleaseAllLocked();
    block = AllocateNewLocked(block_size);
  }
  if (block == nullptr) {
    throw Error(reason::kOutOfMemory,
                fmt::format("out of device memory: {} bytes asked for, {} in use", block_size,
                            stats_.live_bytes))
        .With("requested", std::to_string(block_size))
        .With("used", std::to_string(stats_.live_bytes));
  }
  stats_.live_bytes += bytes;
  return block;
}

void* DeviceMemory::AllocateNewLocked(size_t block_size) {
  const auto held = static_cast<size_t>(stats_.live_bytes + stats_.cached_bytes);
  if (block_size > max_bytes_ || held > max_bytes_ - block_size) return nullptr;
  void* const block = driver_.Allocate(block_size);
  if (block != nullptr) ++stats_.system_allocations;
  return block;
}

void DeviceMemory::Free(Lane& lane, void* block, size_t block_size) {
  const std::lock_guard lock(mutex_);
  lanes_[&lane][block_size].push_back(block);
  stats_.live_bytes -= static_cast<int64_t>(block_size);
  stats_.cached_bytes += static_cast<int64_t>(block_size);
}

void DeviceMemory::BeginCapture() {
  const std::lock_guard lock(mutex_);
  ++captures_;
}

void DeviceMemory::EndCapture() {
  {
    const std::lock_guard lock(mutex_);
    --captures_;
  }
  no_capture_.notify_all();
}

void DeviceMemory::ReleaseAllLocked() {
  const auto release = [this](Cache& cache) {
    for (auto& [size, blocks] : cache) {
      for (void* block : blocks) driver_.Free(block);
    }
    cache.clear();
  };
  for (auto& [lane, cache] : lanes_) release(cache);
  release(idle_);
  stats_.cached_bytes = 0;
}

void DeviceMemory::Close(const Lane& lane) {
  const std::lock_guard lock(mutex_);
  const auto found = lanes_.find(&lane);
  if (found == lanes_.end()) return;
  for (auto& [size, blocks] : found->second) {
    auto& idle = idle_[size];
    idle.insert(idle.end(), blocks.begin(), blocks.end());
  }
  lanes_.erase(found);
}

MemoryStats DeviceMemory::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace gradwire::cuda
