// Pinned host memory that arrays go through on their way to and from a GPU.
#ifndef GRADWIRE_BACKEND_CUDA_STAGING_H_
#define GRADWIRE_BACKEND_CUDA_STAGING_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>

#include "backend/cuda/driver.h"

namespace gradwire::cuda {

// Slots that all sessions of a device share. A slot that a queue still reads is waited for only
// when it is its turn again. Thread-safe.
class Staging {
 public:
  // At most `slots` are made, when they are needed.
  Staging(Driver& driver, size_t slot_bytes, int slots)
      : driver_(driver), slot_bytes_(slot_bytes), slots_(slots) {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Queues the copy; `host` may be reused on return.
  void Upload(Driver::Queue queue, void* to, const void* host, size_t bytes);
  // Waits for the queue and the copy.
  void Download(Driver::Queue queue, void* host, const void* from, size_t bytes);

 private:
  struct Slot {
    void* memory;
    Driver::Event event;
  };
  class Taken;  // a slot while it is held

  // Waits until a slot is free. A thread holds one at a time, so that none waits for itself.
  Slot Take();
  void GiveBack(Slot slot);
  Slot NewSlot();

  Driver& driver_;
  const size_t slot_bytes_;
  const int slots_;
  std::mutex mutex_;
  std::condition_variable free_again_;
  std::deque<Slot> free_;  // guarded; the one that was used last is last
  int made_ = 0;           // guarded
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_STAGING_H_
