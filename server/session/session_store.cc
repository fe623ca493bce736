#include "session/session_store.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"

namespace gradwire {
namespace {

constexpr size_t kRememberedIds = 10000;
constexpr std::chrono::milliseconds kSweepPeriod(250);

template <class T>
T RandomBits() {
  T bits{};
  if (getrandom(&bits, sizeof(bits), 0) != static_cast<ssize_t>(sizeof(bits))) {
    throw Error(reason::kInternal, "the system has no random numbers");
  }
  return bits;
}

std::string NewId() {
  const auto bits = RandomBits<std::array<uint64_t, 2>>();
  return fmt::format("{:016x}{:016x}", bits[0], bits[1]);
}

}  // namespace

SessionStore::SessionStore(std::vector<std::unique_ptr<Backend>> backends, ComputePool& pool,
                           const SessionLimits& limits)
    : backends_(std::move(backends)), pool_(pool), limits_(limits), sweeper_([this] { Sweep(); }) {}

SessionStore::~SessionStore() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  sweeper_.join();
}

Backend& SessionStore::FindBackend(const std::string& device) const {
  std::string names;
  for (const auto& backend : backends_) {
    const std::string name = backend->device().name();
    if (device == name || (device.empty() && name == "cpu")) return *backend;
    names += names.empty() ? name : ", " + name;
  }
  throw Error(reason::kDeviceNotFound,
              fmt::format("this server has no device '{}'; it has: {}", device, names));
}

std::shared_ptr<Session> SessionStore::Open(const OpenRequest& request) {
  SessionOptions options;
  options.lease = request.lease.count() == 0 ? limits_.default_lease : request.lease;
  if (options.lease.count() < 0 || options.lease > limits_.max_lease) {
    throw Error(reason::kInvalidArgument,
                fmt::format("lease of {} ms is out of range: 1 to {} ms", options.lease.count(),
                            limits_.max_lease.count()));
  }
  const int64_t limit = limits_.max_session_bytes;
  if (request.max_bytes < 0) {
    throw Error(reason::kInvalidArgument,
                fmt::format("max_bytes {} is negative", request.max_bytes));
  }
  options.max_bytes = request.max_bytes == 0 ? limit
                      : limit == 0           ? request.max_bytes
                                             : std::min(limit, request.max_bytes);
  options.seed =
      request.seed.has_value() ? static_cast<uint64_t>(*request.seed) : RandomBits<uint64_t>();
  Backend& backend = FindBackend(request.device);
  auto session = std::make_shared<Session>(NewId(), backend, pool_, options);
  const std::lock_guard lock(mutex_);
  if (draining_) throw Error(reason::kShuttingDown, "the server is stopping; open elsewhere");
  if (static_cast<int64_t>(sessions_.size()) >= limits_.max_sessions) {
    throw Error(reason::kQuotaExceeded,
                fmt::format("the server holds {} sessions, its limit", sessions_.size()))
        .With("limit", std::to_string(limits_.max_sessions))
        .With("used", std::to_string(sessions_.size()))
        .With("requested", "1");
  }
  sessions_[session->id()] = session;
  return session;
}

std::shared_ptr<Session> SessionStore::Find(const std::string& id) {
  std::shared_ptr<Session> late;  // freed after the lock
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(id);
  if (found != sessions_.end() && !found->second->Expired(std::chrono::steady_clock::now())) {
    found->second->Renew();
    return found->second;
  }
  if (found != sessions_.end()) late = ExpireLocked(found);
  if (std::find(expired_.begin(), expired_.end(), id) != expired_.end()) {
    throw Error(reason::kSessionExpired, fmt::format("the lease of session '{}' ran out", id));
  }
  throw Error(reason::kSessionNotFound, fmt::format("there is no session '{}'", id));
}

void SessionStore::Close(const std::string& id) {
  const std::shared_ptr<Session> session = Find(id);  // freed after the lock
  const std::lock_guard lock(mutex_);
  sessions_.erase(id);
}

void SessionStore::Drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
}

void SessionStore::Sweep() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kSweepPeriod, [this] { return stopping_; })) {
    std::vector<std::shared_ptr<Session>> late;
    const auto now = std::chrono::steady_clock::now();
    for (auto it = sessions_.begin(); it != sessions_.end();) {
      const auto next = std::next(it);
      if (it->second->Expired(now)) late.push_back(ExpireLocked(it));
      it = next;
    }
    lock.unlock();
    late.clear();
    lock.lock();
  }
}

std::shared_ptr<Session> SessionStore::ExpireLocked(Table::iterator it) {
  std::shared_ptr<Session> session = std::move(it->second);
  expired_.push_back(it->first);
  if (expired_.size() > kRememberedIds) expired_.pop_front();
  sessions_.erase(it);
  return session;
}

}  // namespace gradwire
