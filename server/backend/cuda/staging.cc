#include "backend/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace gradwire::cuda {

// Given back however the copy ends.
class Staging::Taken {
 public:
  explicit Taken(Staging& staging) : staging_(staging), slot_(staging.Take()) {}
  ~Taken() { staging_.GiveBack(slot_); }
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;

  void* memory() const { return slot_.memory; }
  Driver::Event event() const { return slot_.event; }

 private:
  Staging& staging_;
  const Slot slot_;
};

Staging::~Staging() {
  for (const Slot& slot : free_) {
    driver_.DeleteEvent(slot.event);
    driver_.FreePinned(slot.memory);
  }
}

Staging::Slot Staging::NewSlot() {
  void* const memory = driver_.AllocatePinned(slot_bytes_);
  if (memory == nullptr) throw Error(reason::kOutOfMemory, "out of pinned host memory");
  try {
    return {memory, driver_.NewEvent()};
  } catch (...) {
    driver_.FreePinned(memory);
    throw;
  }
}

Staging::Slot Staging::Take() {
  // New ones first: to take up a used one may be to wait for all that is queued before it.
  std::unique_lock lock(mutex_);
  free_again_.wait(lock, [this] { return !free_.empty() || made_ < slots_; });
  if (made_ < slots_) {
    Slot slot = NewSlot();
    ++made_;
    return slot;
  }
  const Slot slot = free_.front();
  free_.pop_front();
  lock.unlock();
  try {
    driver_.Wait(slot.event);
  } catch (...) {
    GiveBack(slot);
    throw;
  }
  return slot;
}

void Staging::GiveBack(Slot slot) {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(slot);
  }
  free_again_.notify_one();
}

void Staging::Upload(Driver::Queue queue, void* to, const void* host, size_t bytes) {
  for (size_t at = 0; at < bytes; at += slot_bytes_) {
    const size_t part = std::min(slot_bytes_, bytes - at);
    const Taken slot(*this);
    std::memcpy(slot.memory(), static_cast<const char*>(host) + at, part);
    driver_.CopyToDevice(queue, static_cast<char*>(to) + at, slot.memory(), part);
    driver_.Record(queue, slot.event());
  }
}

void Staging::Download(Driver::Queue queue, void* host, const void* from, size_t bytes) {
  for (size_t at = 0; at < bytes; at += slot_bytes_) {
    const size_t part = std::min(slot_bytes_, bytes - at);
    const Taken slot(*this);
    driver_.CopyToHost(queue, slot.memory(), static_cast<const char*>(from) + at, part);
    driver_.Record(queue, slot.event());
    driver_.Wait(slot.event());
    std::memcpy(static_cast<char*>(host) + at, slot.memory(), part);
  }
}

}  // namespace gradwire::cuda
