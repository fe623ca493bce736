// A session: an isolated namespace of tensors and programs on one device, with a lease and a quota.
// What a session is can be reached from its object alone.
#ifndef GRADWIRE_SESSION_SESSION_H_
#define GRADWIRE_SESSION_SESSION_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "backend/backend.h"
#include "backend/quota.h"
#include "exec/compute_pool.h"
#include "graph/item.h"
#include "session/command_cache.h"
#include "session/program.h"
#include "session/replay_cache.h"
#include "session/shared_arrays.h"

namespace gradwire {

// How long a session lives: some time after its last call, and while one is under way. Thread-safe.
class Lease {
 public:
  explicit Lease(std::chrono::milliseconds length) : length_(length) {}
  void Renew();
  bool Expired(std::chrono::steady_clock::time_point now) const;
  void Begin();  // of work; until its End, nothing expires
  void End();

 private:
  const std::chrono::milliseconds length_;
  mutable std::mutex mutex_;
  std::chrono::steady_clock::time_point renewed_ = std::chrono::steady_clock::now();  // guarded
  int under_way_ = 0;                                                                 // guarded
};

// Limits of 0 mean none.
struct SessionOptions {
  std::chrono::milliseconds lease{0};
  int64_t max_bytes = 0;
  uint64_t seed = 0;
  int64_t max_tensors = 0;
  int64_t max_programs = 0;
  int64_t max_queued = 0;  // commands that wait
  size_t max_plans = 0;    // commands whose plans are kept; none where it is 0
  PlanOptions plans;
  MathMode math_mode;
};

// The lease, the device and attaching shared memory are thread-safe. All else belongs to the
// strand: commands post their work to it, and a Transaction there reads and changes the rest.
class Session {
 public:
  // What the session holds in tensors is booked with `parent` too, where there is one.
  Session(std::string id, Backend& backend, ComputePool& pool, const SessionOptions& options,
          std::shared_ptr<Quota> parent = nullptr);

  const std::string& id() const { return id_; }
  // Queues work of this session behind what is queued already. The lease does not end before it.
  // `bytes`, of what the task holds, are booked as the session's memory while it waits. Throws
  // QUOTA_EXCEEDED when too much waits.
  // `here`: of Strand::Post.
  void Post(std::function<void()> task, int64_t bytes = 0,
            const std::function<bool()>& here = nullptr);

  const SessionOptions& options() const { return options_; }
  std::chrono::milliseconds lease() const { return options_.lease; }
  void Renew() { lease_->Renew(); }
  bool Expired(std::chrono::steady_clock::time_point now) const { return lease_->Expired(now); }

  // Names bound after the last command. Thread-safe, as is the quota.
  int64_t tensor_count() const { return tensor_count_.load(std::memory_order_relaxed); }

  // Thread-safe, as where the session computes may change.
  Device device() const { return device_.load(std::memory_order_relaxed); }
  const Quota& quota() const { return *quota_; }
  ComputePool& pool() const { return pool_; }
  Stream& stream() { return *stream_; }
  // For arrays that come in beside the strand: memory of the host, booked with the session. On a
  // CPU it is the device's. Thread-safe.
  std::shared_ptr<Stream> host() const;
  // Has all arrays that names and the graphs behind them reach on another device, and all later
  // work done there. Names, leaves, graphs and the random state stay as they are; what the session
  // keeps of commands that came before is dropped. An array counts once meanwhile. `poll` is called
  // before each array and throws to stop.
  //
  // Throws OP_UNSUPPORTED for strings, which other devices than the CPU do not have, and
  // INVALID_ARGUMENT where memory is shared; OUT_OF_MEMORY, DEVICE_FAILED. Nothing has changed
  // then.
  void Move(Backend& to, const std::function<void()>& poll);
  ReplayCache& replays() { return replays_; }
  CommandCache& commands() { return commands_; }
  // Shares memory with a process on this machine, once in a session's life: `tensor_bytes` for
  // arrays that it reads in place, `inbox_bytes` for what it writes. Throws INVALID_ARGUMENT where
  // the device cannot, or when it is done already; QUOTA_EXCEEDED, OUT_OF_MEMORY.
  std::shared_ptr<SharedArrays> AttachMemory(size_t tensor_bytes, size_t inbox_bytes);
  // Throws INVALID_ARGUMENT when no memory is attached.
  SharedArrays& shared_arrays() const;
  const std::map<std::string, Item>& names() const { return names_; }
  const std::map<std::string, ProgramPtr>& programs() const { return programs_; }

 private:
  friend class Transaction;

  void RequireNothingShared() const;  // with the lock

  const std::string id_;
  const SessionOptions options_;
  ComputePool& pool_;
  const std::shared_ptr<Quota> quota_;
  std::shared_ptr<Stream> stream_;  // changed on the strand, with the lock
  std::atomic<Device> device_;
  const std::shared_ptr<Strand> strand_;
  // Tasks share these: what they hold may be all of the session.
  const std::shared_ptr<Lease> lease_;
  const std::shared_ptr<Quota> queue_;

  std::atomic<int64_t> tensor_count_{0};
  std::map<std::string, Item> names_;
  std::map<std::string, ProgramPtr> programs_;
  uint64_t random_state_;
  ReplayCache replays_;
  CommandCache commands_;
  mutable std::mutex mutex_;
  std::shared_ptr<SharedArrays> shared_arrays_;  // guarded
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_SESSION_H_
