// Pinned host memory that arrays go through on their way to and from a GPU.
#ifndef GRADWIRE_BACKEND_CUDA_STAGING_H_
#define GRADWIRE_BACKEND_CUDA_STAGING_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

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

  struct Slot {
    void* memory;
    Driver::Event event;
  };
  // The first part of an array on its way to the host, or all of it.
  class Early {
   public:
    explicit Early(Staging& staging) : staging_(staging) {}
    ~Early();
    Early(const Early&) = delete;
    Early& operator=(const Early&) = delete;
    // Waits for it. Returns how many bytes it was; at most `bytes`.
    size_t Take(void* host, size_t bytes);

   private:
    friend class Staging;
    Staging& staging_;
    std::vector<Slot> slots_;
  };
  // Queues a copy in `beside` of what `queue` has made by then: as much as half of the slots hold,
  // without waiting for one.
  std::unique_ptr<Early> Start(Driver::Queue queue, Driver::Queue beside, const void* from,
                               size_t bytes);

 private:
  class Taken;  // a slot while it is held

  // Waits until a slot is free. A thread holds one at a time, so that none waits for itself.
  Slot Take();
  // None where only the half is left that is not for early copies.
  std::optional<Slot> TakeEarly();
  void GiveBack(Slot slot);
  Slot NewSlot();

  Driver& driver_;
  const size_t slot_bytes_;
  const int slots_;
  std::mutex mutex_;
  std::condition_variable free_again_;
  std::deque<Slot> free_;  // guarded; the one that was used last is last
  int made_ = 0;           // guarded
  int early_ = 0;          // guarded; held by early copies
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_STAGING_H_
