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

std::optional<Staging::Slot> Staging::TakeEarly() {
  const std::lock_guard lock(mutex_);
  if (2 * early_ >= slots_) return std::nullopt;
  std::optional<Slot> slot;
  if (made_ < slots_) {
    slot = NewSlot();
    ++made_;
  } else if (!free_.empty()) {
    slot = free_.front();
    free_.pop_front();
  } else {
    return std::nullopt;
  }
  ++early_;
  return slot;
}

// The first slot's event says when the array is made, before it says when it is copied.
std::unique_ptr<Staging::Early> Staging::Start(Driver::Queue queue, Driver::Queue beside,
                                               const void* from, size_t bytes) {
  auto early = std::make_unique<Early>(*this);
  for (size_t at = 0; at < bytes; at += slot_bytes_) {
    const std::optional<Slot> slot = TakeEarly();
    if (!slot.has_value()) break;
    early->slots_.push_back(*slot);
    if (at == 0) {
      driver_.WaitFor(beside, slot->event);  // for who used the slot before
      driver_.Record(queue, slot->event);
    }
    driver_.WaitFor(beside, slot->event);
    driver_.CopyToHost(beside, slot->memory, static_cast<const char*>(from) + at,
                       std::min(slot_bytes_, bytes - at));
    driver_.Record(beside, slot->event);
  }
  return early;
}

size_t Staging::Early::Take(void* host, size_t bytes) {
  size_t at = 0;
  for (const Slot& slot : slots_) {
    if (at >= bytes) break;
    const size_t part = std::min(staging_.slot_bytes_, bytes - at);
    staging_.driver_.Wait(slot.event);
    std::memcpy(static_cast<char*>(host) + at, slot.memory, part);
    at += part;
  }
  return at;
}

// Who takes a slot next waits for its copy.
Staging::Early::~Early() {
  {
    const std::lock_guard lock(staging_.mutex_);
    staging_.early_ -= static_cast<int>(slots_.size());
  }
  for (const Slot& slot : slots_) staging_.GiveBack(slot);
}

}  // namespace gradwire::cuda
