// A GPU's memory in blocks, and who may use a block again.
#ifndef GRADWIRE_BACKEND_CUDA_DEVICE_MEMORY_H_
#define GRADWIRE_BACKEND_CUDA_DEVICE_MEMORY_H_

#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/driver.h"

namespace gradwire::cuda {

class DeviceMemory;

// A queue, and the blocks that were freed while it may still work on them: its later work may use
// them at once, other queues' only after it was waited for. Buffers hold it, so that the queue
// lives as long as a block of its making.
class Lane {
 public:
  explicit Lane(DeviceMemory& memory);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  Driver::Queue queue() const { return queue_; }

 private:
  friend class DeviceMemory;
  DeviceMemory& memory_;
  const Driver::Queue queue_;
};

// Caches blocks of the size classes of CachingAllocator. Thread-safe.
class DeviceMemory {
 public:
  // Live and cached blocks together take at most `max_bytes`.
  DeviceMemory(Driver& driver, size_t max_bytes) : driver_(driver), max_bytes_(max_bytes) {}
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // `block_size` must be a BlockSize. Where no memory is left, waits for all queues, frees what is
  // cached and tries again, if it may; then throws OUT_OF_MEMORY with the figures.
  void* Allocate(Lane& lane, size_t block_size, bool may_wait = true);
  // `block` may still be used by what is queued.
  void Free(Lane& lane, void* block, size_t block_size);
  // Between them a queue records work, and no one waits for all queues: CUDA forbids it.
  void BeginCapture();
  void EndCapture();
  MemoryStats stats() const;
  Driver& driver() { return driver_; }

 private:
  friend class Lane;
  using Cache = std::map<size_t, std::vector<void*>>;  // by block size

  static void* TakeFrom(Cache& cache, size_t block_size);
  void* AllocateNewLocked(size_t block_size);
  void ReleaseAllLocked();
  // The lane's queue is done.
  void Close(const Lane& lane);

  Driver& driver_;
  const size_t max_bytes_;
  mutable std::mutex mutex_;
  std::map<const Lane*, Cache> lanes_;  // guarded
  Cache idle_;                          // guarded: of lanes that are no more
  MemoryStats stats_;                   // guarded
  int captures_ = 0;                    // guarded: that are under way
  std::condition_variable no_capture_;
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_DEVICE_MEMORY_H_
