// Memory that another process of this machine maps too, and arrays that lie in it.
#ifndef GRADWIRE_BACKEND_SHARED_MEMORY_H_
#define GRADWIRE_BACKEND_SHARED_MEMORY_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "backend/caching_allocator.h"
#include "backend/quota.h"

namespace gradwire {

// Zeros at first, in pages that are taken where they are first touched. No process can change the
// size, so that none can take pages from under another's hands.
class SharedSegment {
 public:
  enum class Peer {
    kReads,   // whoever gets the descriptor can map it for reading only
    kWrites,  // and for writing
  };
  // Throws OUT_OF_MEMORY, or INTERNAL where the system lacks what it takes.
  SharedSegment(size_t bytes, Peer peer);
  ~SharedSegment();
  SharedSegment(const SharedSegment&) = delete;
  SharedSegment& operator=(const SharedSegment&) = delete;

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  // What the other process is given; this object keeps it open.
  int descriptor() const { return descriptor_; }

 private:
  const size_t bytes_;
  int descriptor_ = -1;
  std::byte* data_ = nullptr;
};

// Blocks of a segment that the other process reads. Memory that a block once took stays with the
// arena, and is booked until the arena ends. Thread-safe.
class SharedArena {
 public:
  // Arrays of less are not worth sharing.
  static constexpr size_t kSmallestBlock = size_t{64} << 10;

  // `quota` and `memory` are what blocks are booked with.
  SharedArena(size_t bytes, std::shared_ptr<Quota> quota, std::shared_ptr<CachingAllocator> memory)
      : segment_(bytes, SharedSegment::Peer::kReads),
        quota_(std::move(quota)),
        memory_(std::move(memory)) {}
  ~SharedArena();

  const SharedSegment& segment() const { return segment_; }
  // `block_size` is a CachingAllocator::BlockSize. nullptr for a small block, and when the arena is
  // full. Throws QUOTA_EXCEEDED, OUT_OF_MEMORY.
  void* Allocate(size_t block_size);
  void Free(void* block, size_t block_size);
  // Where in the segment an array lies, if it does.
  std::optional<size_t> OffsetOf(const void* data) const;

 private:
  SharedSegment segment_;
  const std::shared_ptr<Quota> quota_;
  const std::shared_ptr<CachingAllocator> memory_;
  std::mutex mutex_;
  size_t taken_ = 0;                                     // guarded; of the segment's beginning
  std::unordered_map<size_t, std::vector<void*>> free_;  // guarded; by size
};

// A stream that can put its arrays into shared memory. Streams whose device cannot are none.
class Shareable {
 public:
  virtual ~Shareable() = default;
  // From now on, large arrays lie in the arena while it has room. Thread-safe. REQUIRES: not called
  // before.
  virtual std::shared_ptr<SharedArena> Share(size_t bytes) = 0;
};

}  // namespace gradwire

#endif  // GRADWIRE_BACKEND_SHARED_MEMORY_H_
