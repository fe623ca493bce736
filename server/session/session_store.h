// The sessions of a server.
#ifndef GRADWIRE_SESSION_SESSION_STORE_H_
#define GRADWIRE_SESSION_SESSION_STORE_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "session/session.h"

namespace gradwire {

struct SessionLimits {
  std::chrono::milliseconds default_lease = std::chrono::minutes(10);
  std::chrono::milliseconds max_lease = std::chrono::hours(24);
  int64_t max_session_bytes = 0;  // 0 means no limit
  int64_t max_sessions = 10000;
};

// What a client asks of a session; zeros and absent values mean the defaults.
struct OpenRequest {
  std::string device;
  std::chrono::milliseconds lease{0};
  int64_t max_bytes = 0;
  std::optional<int64_t> seed;
};

// Thread-safe. A session that is found stays alive while its shared_ptr is held, even when its
// lease ends meanwhile.
class SessionStore {
 public:
  SessionStore(std::vector<std::unique_ptr<Backend>> backends, ComputePool& pool,
               const SessionLimits& limits);
  ~SessionStore();

  // Throws DEVICE_NOT_FOUND, INVALID_ARGUMENT, QUOTA_EXCEEDED, SHUTTING_DOWN.
  std::shared_ptr<Session> Open(const OpenRequest& request);
  // Renews the lease. Throws SESSION_NOT_FOUND or SESSION_EXPIRED.
  std::shared_ptr<Session> Find(const std::string& id);
  void Close(const std::string& id);
  // Refuses new sessions from now on.
  void Drain();

  const SessionLimits& limits() const { return limits_; }
  const std::vector<std::unique_ptr<Backend>>& backends() const { return backends_; }

 private:
  using Table = std::map<std::string, std::shared_ptr<Session>>;

  Backend& FindBackend(const std::string& device) const;
  void Sweep();
  // Takes the session out of the table; the caller lets go of it without the lock.
  std::shared_ptr<Session> ExpireLocked(Table::iterator it);

  const std::vector<std::unique_ptr<Backend>> backends_;
  ComputePool& pool_;
  const SessionLimits limits_;
  std::mutex mutex_;
  std::condition_variable wake_;
  Table sessions_;
  std::deque<std::string> expired_;  // ids of the last ones, to tell "expired" from "never was"
  bool draining_ = false;
  bool stopping_ = false;
  std::thread sweeper_;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_SESSION_STORE_H_
