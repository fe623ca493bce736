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

// What the sessions of one tenant may be, together; 0 means no limit.
struct TenantLimits {
  int64_t max_bytes = 0;
  int64_t max_sessions = 0;
  int64_t max_message_bytes = 0;  // of one message, where less than the server's
};

// 0 means no limit.
struct SessionLimits {
  std::chrono::milliseconds default_lease = std::chrono::minutes(10);
  std::chrono::milliseconds max_lease = std::chrono::hours(24);
  // Of one session.
  int64_t max_session_bytes = 0;
  int64_t max_tensors = 1000000;
  int64_t max_programs = 1000;
  int64_t max_queued = 2048;
  int64_t max_plans = 64;
  PlanOptions plans;
  // Of all sessions together.
  int64_t max_bytes = 0;
  int64_t max_sessions = 10000;
  // Of a tenant, and of those for whom something else was agreed, by name.
  TenantLimits tenant;
  std::map<std::string, TenantLimits> tenants;

  const TenantLimits& Of(const std::string& name) const {
    const auto found = tenants.find(name);
    return found == tenants.end() ? tenant : found->second;
  }
};

// What the sessions of a tenant hold, and how many of it are on each device of the server.
struct TenantUsage {
  struct OnDevice {
    int64_t sessions = 0;
    int64_t tensors = 0;
  };
  std::string tenant;
  int64_t bytes = 0;
  std::map<std::string, OnDevice> devices;
};

// What a client asks of a session; zeros and absent values mean the defaults.
struct OpenRequest {
  std::string device;
  std::chrono::milliseconds lease{0};
  int64_t max_bytes = 0;
  std::optional<int64_t> seed;
  std::string id;  // 32 hexadecimal digits
  MathMode math_mode;
};

// A session belongs to a tenant; to others it does not exist. Callers that are not told apart are
// all the tenant "".
//
// Thread-safe. A session that is found stays alive while its shared_ptr is held, even when its
// lease ends meanwhile.
class SessionStore {
 public:
  // `missing_devices` says why there are not more devices; it is told who asks for one.
  SessionStore(std::vector<std::unique_ptr<Backend>> backends, ComputePool& pool,
               const SessionLimits& limits, std::string missing_devices = {});
  ~SessionStore();

  // An id that the tenant has open gives that session. Throws DEVICE_NOT_FOUND, DEVICE_FAILED,
  // INVALID_ARGUMENT, QUOTA_EXCEEDED, SHUTTING_DOWN.
  std::shared_ptr<Session> Open(const OpenRequest& request, const std::string& tenant = "");
  // Renews the lease. Throws SESSION_NOT_FOUND or SESSION_EXPIRED.
  std::shared_ptr<Session> Find(const std::string& id, const std::string& tenant = "");
  void Close(const std::string& id, const std::string& tenant = "");
  // Of each tenant that ever had a session.
  std::vector<TenantUsage> Usage() const;
  // "cpu" where the name is empty. Throws DEVICE_NOT_FOUND, DEVICE_FAILED.
  Backend& FindBackend(const std::string& device) const;
  // Refuses new sessions from now on.
  void Drain();

  const SessionLimits& limits() const { return limits_; }
  const std::vector<std::unique_ptr<Backend>>& backends() const { return backends_; }
  const std::string& missing_devices() const { return missing_devices_; }

 private:
  // What the sessions of a tenant hold.
  struct Tenant {
    std::string name;
    std::shared_ptr<Quota> bytes;
    std::shared_ptr<Quota> sessions;
  };
  struct Entry {
    std::shared_ptr<Session> session;
    std::shared_ptr<const Tenant> tenant;
  };
  using Table = std::map<std::string, Entry>;
  struct Expired {
    std::string id;
    std::string tenant;
  };

  SessionOptions OptionsFor(const OpenRequest& request) const;
  std::shared_ptr<const Tenant> TenantLocked(const std::string& name);
  // The tenant's session, or nullptr. Throws INVALID_ARGUMENT when it is another's.
  std::shared_ptr<Session> ReopenLocked(const std::string& id, const std::string& tenant);
  void Sweep();
  // Take the session out of the table; the caller lets go of it without the lock.
  std::shared_ptr<Session> RemoveLocked(Table::iterator it);
  std::shared_ptr<Session> ExpireLocked(Table::iterator it);

  const std::vector<std::unique_ptr<Backend>> backends_;
  const std::string missing_devices_;
  ComputePool& pool_;
  const SessionLimits limits_;
  const Tenant all_;  // the accounts of the server
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  Table sessions_;
  std::map<std::string, std::shared_ptr<const Tenant>> tenants_;
  std::deque<Expired> expired_;  // the last ones, to tell "expired" from "never was"
  bool draining_ = false;
  bool stopping_ = false;
  std::thread sweeper_;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_SESSION_STORE_H_
