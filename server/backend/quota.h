// What a session may hold in tensor memory, and what it holds.
#ifndef GRADWIRE_BACKEND_QUOTA_H_
#define GRADWIRE_BACKEND_QUOTA_H_

#include <fmt/format.h>

#include <atomic>
#include <cstdint>

#include "core/error.h"

namespace gradwire {

// Thread-safe: fetches let go of buffers from other threads.
class Quota {
 public:
  // `limit` in bytes; 0 or less means none.
  explicit Quota(int64_t limit) : limit_(limit) {}

  // Books bytes, or throws QUOTA_EXCEEDED and books nothing.
  void Take(int64_t bytes) {
    const int64_t before = used_.fetch_add(bytes, std::memory_order_relaxed);
    if (limit_ <= 0 || before + bytes <= limit_) return;
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    throw Error(
        reason::kQuotaExceeded,
        fmt::format("session memory: {} bytes asked for, {} of {} in use", bytes, before, limit_))
        .With("limit", std::to_string(limit_))
        .With("used", std::to_string(before))
        .With("requested", std::to_string(bytes));
  }
  void Give(int64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }

  int64_t used() const { return used_.load(std::memory_order_relaxed); }
  int64_t limit() const { return limit_; }

 private:
  const int64_t limit_;
  std::atomic<int64_t> used_{0};
};

}  // namespace gradwire

#endif  // GRADWIRE_BACKEND_QUOTA_H_
