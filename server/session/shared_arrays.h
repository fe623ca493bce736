// What a session shares with a process on the same machine.
#ifndef GRADWIRE_SESSION_SHARED_ARRAYS_H_
#define GRADWIRE_SESSION_SHARED_ARRAYS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>

#include "backend/quota.h"
#include "backend/shared_memory.h"
#include "core/tensor.h"

namespace gradwire {

// The segments do not change. What is held belongs to the session's strand.
class SharedArrays {
 public:
  // Books the inbox with `quota`, and what arrays take when they do.
  SharedArrays(Shareable& stream, std::shared_ptr<Quota> quota, size_t tensor_bytes,
               size_t inbox_bytes);

  const SharedSegment& tensors() const { return arena_->segment(); }
  const SharedSegment& inbox() const { return inbox_; }

  // Bytes of the inbox; the other process may change them at any time. Throws INVALID_ARGUMENT for
  // a range that is not inside.
  std::span<const std::byte> Inbox(uint64_t offset, uint64_t size) const;

  // Where a tensor lies in shared memory, if it does.
  std::optional<size_t> OffsetOf(const Tensor& tensor) const;
  // Keeps a tensor's memory from being used for anything else; returns the number to release it by.
  uint64_t Hold(Tensor tensor);
  // Throws INVALID_ARGUMENT for a number that nothing is held by.
  void CheckHeld(uint64_t number) const;
  void Release(uint64_t number) { held_.erase(number); }
  int64_t held() const { return static_cast<int64_t>(held_.size()); }

 private:
  struct Booking {
    Booking(std::shared_ptr<Quota> with, size_t amount);
    ~Booking();
    Booking(const Booking&) = delete;
    Booking& operator=(const Booking&) = delete;
    const std::shared_ptr<Quota> quota;
    const int64_t bytes;
  };

  const Booking booking_;  // before what it is for
  const SharedSegment inbox_;
  const std::shared_ptr<SharedArena> arena_;
  std::map<uint64_t, Tensor> held_;
  uint64_t next_ = 0;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_SHARED_ARRAYS_H_
