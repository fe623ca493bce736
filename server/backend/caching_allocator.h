// Keeps freed blocks for reuse, so that a steady state asks the system for nothing: page faults
// cost more than the copies they serve.
#ifndef GRADWIRE_BACKEND_CACHING_ALLOCATOR_H_
#define GRADWIRE_BACKEND_CACHING_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"

namespace gradwire {

// Blocks come in size classes, four to each power of two from 64 bytes on (at most 25 % more than
// asked for). Thread-safe.
class CachingAllocator {
 public:
  // How memory is had and given back; `allocate` returns nullptr when there is none.
  struct Source {
    std::function<void*(size_t bytes)> allocate;
    std::function<void(void* block, size_t bytes)> release;
  };
  // Freed blocks beyond `max_cached_bytes` go back to the source. Live and cached blocks together
  // take at most `max_bytes`.
  CachingAllocator(Source source, size_t max_cached_bytes, size_t max_bytes = SIZE_MAX)
      : source_(std::move(source)), max_cached_bytes_(max_cached_bytes), max_bytes_(max_bytes) {}
  ~CachingAllocator() { ReleaseCache(); }

  // The size class of a request: what Allocate hands out and Free takes back.
  static size_t BlockSize(size_t bytes);

  // `block_size` must be a BlockSize. Throws OUT_OF_MEMORY after having emptied the cache.
  void* Allocate(size_t block_size);
  void Free(void* block, size_t block_size);
  void ReleaseCache();
  // Gives back the cached blocks of at least `min_block_size` that no call has wanted since the
  // last ReleaseIdle.
  void ReleaseIdle(size_t min_block_size);
  // Counts memory as live that is had elsewhere. Throws OUT_OF_MEMORY after having emptied the
  // cache.
  void Book(size_t bytes);
  void Unbook(size_t bytes);
  MemoryStats stats() const;

 private:
  struct Shelf {
    std::vector<void*> blocks;  // the last one freed is the next one taken
    size_t idle = 0;            // so many, from the front on, lay there since the last ReleaseIdle
  };

  void ReleaseCacheLocked();
  bool HasRoomLocked(size_t bytes) const;
  [[noreturn]] void RefuseLocked(size_t bytes) const;
  // A block of the source's, or nullptr where it has none or the limit is reached.
  void* TakeLocked(size_t block_size);

  const Source source_;
  const size_t max_cached_bytes_;
  const size_t max_bytes_;
  mutable std::mutex mutex_;
  std::unordered_map<size_t, Shelf> cache_;  // by block size
  MemoryStats stats_;
};

}  // namespace gradwire

#endif  // GRADWIRE_BACKEND_CACHING_ALLOCATOR_H_
