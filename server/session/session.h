// A session: an isolated namespace of tensors and programs on one device, with a lease and a quota.
// What a session is can be reached from its object alone.
#ifndef GRADWIRE_SESSION_SESSION_H_
#define GRADWIRE_SESSION_SESSION_H_

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
#include "graph/value.h"
#include "session/program.h"
#include "session/replay_cache.h"

namespace gradwire {

struct SessionOptions {
  std::chrono::milliseconds lease{0};
  int64_t max_bytes = 0;
  uint64_t seed = 0;
};

// The lease is thread-safe. All else belongs to the strand: commands post their work to it, and a
// Transaction there reads and changes the rest.
class Session {
 public:
  Session(std::string id, Backend& backend, ComputePool& pool, const SessionOptions& options);

  const std::string& id() const { return id_; }
  // Queues work of this session behind what is queued already.
  void Post(std::function<void()> task) { strand_->Post(std::move(task)); }

  std::chrono::milliseconds lease() const { return options_.lease; }
  void Renew();
  bool Expired(std::chrono::steady_clock::time_point now) const;

  Device device() const { return stream_->device(); }
  const Quota& quota() const { return *quota_; }
  const ComputePool& pool() const { return pool_; }
  Stream& stream() { return *stream_; }
  ReplayCache& replays() { return replays_; }
  const std::map<std::string, Value>& names() const { return names_; }
  const std::map<std::string, ProgramPtr>& programs() const { return programs_; }

 private:
  friend class Transaction;

  const std::string id_;
  const SessionOptions options_;
  ComputePool& pool_;
  const std::shared_ptr<Quota> quota_;
  const std::unique_ptr<Stream> stream_;
  const std::shared_ptr<Strand> strand_;
  mutable std::mutex lease_mutex_;
  std::chrono::steady_clock::time_point renewed_;  // guarded by lease_mutex_

  std::map<std::string, Value> names_;
  std::map<std::string, ProgramPtr> programs_;
  uint64_t random_state_;
  ReplayCache replays_;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_SESSION_H_
