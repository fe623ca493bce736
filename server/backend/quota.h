// What may be held of something, bytes or a number of things, and what is held.
#ifndef GRADWIRE_BACKEND_QUOTA_H_
#define GRADWIRE_BACKEND_QUOTA_H_

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace gradwire {

// Of an error's metadata: the limit that was reached.
inline constexpr char kQuotaKey[] = "quota";

// Throws QUOTA_EXCEEDED when `used` and `requested` together pass `limit`; 0 or less means none.
// `name`: of the limit, as gradwire.proto has it (Limits): "max_session_bytes".
inline void CheckQuota(std::string_view name, int64_t limit, int64_t used, int64_t requested) {
  if (limit <= 0 || (requested <= limit && used <= limit - requested)) return;
  throw Error(reason::kQuotaExceeded,
              fmt::format("{}: {} asked for, {} of {} in use", name, requested, used, limit))
      .With(kQuotaKey, std::string(name))
      .With("limit", std::to_string(limit))
      .With("used", std::to_string(used))
      .With("requested", std::to_string(requested));
}

// An account of a session, or of all sessions of a tenant or the server, to which those below book
// too. Thread-safe: fetches let go of buffers from other threads.
class Quota {
 public:
  // `limit`: 0 or less means none. `name`: of the limit, in errors.
  explicit Quota(int64_t limit, std::string name = "max_session_bytes",
                 std::shared_ptr<Quota> parent = nullptr)
      : limit_(limit), name_(std::move(name)), parent_(std::move(parent)) {}

  // While it lives, what its thread takes of the account is a copy of what is booked there, and not
  // booked; as much is then given back without a change, be it of the copy or of what it was made
  // of. What is not given back by its end is booked then, whatever the limit: both are held.
  class CopyScope {
   public:
    explicit CopyScope(Quota& quota) : quota_(quota), before_(std::exchange(current_, this)) {}
    ~CopyScope() {
      current_ = before_;
      quota_.Book(unbooked_);
    }
    CopyScope(const CopyScope&) = delete;
    CopyScope& operator=(const CopyScope&) = delete;

   private:
    friend class Quota;
    inline static thread_local CopyScope* current_ = nullptr;
    Quota& quota_;
    CopyScope* const before_;
    int64_t unbooked_ = 0;
  };

  // Books `amount` here and with every account above, or throws QUOTA_EXCEEDED and books nothing.
  void Take(int64_t amount) {
    if (CopyScope* const copies = Copies()) {
      copies->unbooked_ += amount;
      return;
    }
    const int64_t before = used_.fetch_add(amount, std::memory_order_relaxed);
    try {
      CheckQuota(name_, limit_, before, amount);
      if (parent_ != nullptr) parent_->Take(amount);
    } catch (...) {
      used_.fetch_sub(amount, std::memory_order_relaxed);
      throw;
    }
    Reach(before + amount);
  }
  void Give(int64_t amount) {
    if (CopyScope* const copies = Copies()) {
      const int64_t unbooked = std::min(copies->unbooked_, amount);
      copies->unbooked_ -= unbooked;
      amount -= unbooked;
    }
    used_.fetch_sub(amount, std::memory_order_relaxed);
    if (parent_ != nullptr) parent_->Give(amount);
  }

  int64_t used() const { return used_.load(std::memory_order_relaxed); }
  // The most that was in use at one time.
  int64_t peak() const { return peak_.load(std::memory_order_relaxed); }
  int64_t limit() const { return limit_; }

 private:
  // This thread's of this account, if there is one.
  CopyScope* Copies() const {
    CopyScope* const current = CopyScope::current_;
    return current != nullptr && &current->quota_ == this ? current : nullptr;
  }
  void Book(int64_t amount) {
    Reach(used_.fetch_add(amount, std::memory_order_relaxed) + amount);
    if (parent_ != nullptr) parent_->Book(amount);
  }
  void Reach(int64_t used) {
    int64_t peak = peak_.load(std::memory_order_relaxed);
    while (peak < used && !peak_.compare_exchange_weak(peak, used, std::memory_order_relaxed)) {
    }
  }

  const int64_t limit_;
  const std::string name_;
  const std::shared_ptr<Quota> parent_;
  std::atomic<int64_t> used_{0};
  std::atomic<int64_t> peak_{0};
};

// What is taken of one account until this goes.
class Booking {
 public:
  Booking() = default;
  ~Booking() { Release(); }
  Booking(Booking&& other) noexcept
      : quota_(std::move(other.quota_)), amount_(std::exchange(other.amount_, 0)) {}
  Booking& operator=(Booking&& other) noexcept {
    Release();
    quota_ = std::move(other.quota_);
    amount_ = std::exchange(other.amount_, 0);
    return *this;
  }

  // Takes more, of the same account each time; throws as Quota::Take.
  void Grow(const std::shared_ptr<Quota>& quota, int64_t amount) {
    quota->Take(amount);
    quota_ = quota;
    amount_ += amount;
  }

 private:
  void Release() {
    if (quota_ != nullptr) quota_->Give(amount_);
    quota_ = nullptr;
  }

  std::shared_ptr<Quota> quota_;
  int64_t amount_ = 0;
};

}  // namespace gradwire

#endif  // GRADWIRE_BACKEND_QUOTA_H_
