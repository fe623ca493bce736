#include "backend/caching_allocator.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "core/error.h"

namespace gradwire {

size_t CachingAllocator::BlockSize(size_t bytes) {
  constexpr size_t kSmallest = 64;
  if (bytes <= kSmallest) return kSmallest;
  const size_t step = std::bit_floor(bytes - 1) / 4;
  return (bytes + step - 1) / step * step;
}

void* CachingAllocator::Allocate(size_t block_size) {
  const std::lock_guard lock(mutex_);
  const auto found = cache_.find(block_size);
  if (found != cache_.end() && !found->second.blocks.empty()) {
    Shelf& shelf = found->second;
    void* block = shelf.blocks.back();
    shelf.blocks.pop_back();
    shelf.idle = std::min(shelf.idle, shelf.blocks.size());
    stats_.cached_bytes -= static_cast<int64_t>(block_size);
    stats_.live_bytes += static_cast<int64_t>(block_size);
    return block;
  }
  void* block = TakeLocked(block_size);
  if (block == nullptr) {
    ReleaseCacheLocked();
    block = TakeLocked(block_size);
  }
  if (block == nullptr) RefuseLocked(block_size);
  stats_.live_bytes += static_cast<int64_t>(block_size);
  return block;
}

void CachingAllocator::Book(size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!HasRoomLocked(bytes)) ReleaseCacheLocked();
  if (!HasRoomLocked(bytes)) RefuseLocked(bytes);
  stats_.live_bytes += static_cast<int64_t>(bytes);
}

void CachingAllocator::Unbook(size_t bytes) {
  const std::lock_guard lock(mutex_);
  stats_.live_bytes -= static_cast<int64_t>(bytes);
}

bool CachingAllocator::HasRoomLocked(size_t bytes) const {
  const auto held = static_cast<size_t>(stats_.live_bytes + stats_.cached_bytes);
  return bytes <= max_bytes_ && held <= max_bytes_ - bytes;
}

void CachingAllocator::RefuseLocked(size_t bytes) const {
  throw Error(reason::kOutOfMemory,
              fmt::format("out of memory: {} bytes asked for, {} in use", bytes, stats_.live_bytes))
      .With("requested", std::to_string(bytes))
      .With("used", std::to_string(stats_.live_bytes));
}

void* CachingAllocator::TakeLocked(size_t block_size) {
  void* const block = HasRoomLocked(block_size) ? source_.allocate(block_size) : nullptr;
  if (block != nullptr) ++stats_.system_allocations;
  return block;
}

void CachingAllocator::Free(void* block, size_t block_size) {
  const std::lock_guard lock(mutex_);
  stats_.live_bytes -= static_cast<int64_t>(block_size);
  if (static_cast<size_t>(stats_.cached_bytes) + block_size > max_cached_bytes_) {
    source_.release(block, block_size);
    return;
  }
  cache_[block_size].blocks.push_back(block);
  stats_.cached_bytes += static_cast<int64_t>(block_size);
}

void CachingAllocator::ReleaseCache() {
  const std::lock_guard lock(mutex_);
  ReleaseCacheLocked();
}

void CachingAllocator::ReleaseIdle(size_t min_block_size) {
  std::vector<std::pair<void*, size_t>> released;  // without the lock: unmapping takes its time
  {
    const std::lock_guard lock(mutex_);
    for (auto& [block_size, shelf] : cache_) {
      if (block_size < min_block_size) continue;
      const auto idle = shelf.blocks.begin() + static_cast<std::ptrdiff_t>(shelf.idle);
      for (auto block = shelf.blocks.begin(); block != idle; ++block) {
        released.emplace_back(*block, block_size);
      }
      stats_.cached_bytes -= static_cast<int64_t>(block_size * shelf.idle);
      shelf.blocks.erase(shelf.blocks.begin(), idle);
      shelf.idle = shelf.blocks.size();
    }
  }
  for (const auto& [block, block_size] : released) source_.release(block, block_size);
}

void CachingAllocator::ReleaseCacheLocked() {
  for (auto& [block_size, shelf] : cache_) {
    for (void* block : shelf.blocks) source_.release(block, block_size);
  }
  cache_.clear();
  stats_.cached_bytes = 0;
}

MemoryStats CachingAllocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace gradwire
