#include "session/session_store.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "core/error.h"

namespace gradwire {
namespace {

constexpr size_t kRememberedIds = 10000;
constexpr size_t kIdDigits = 32;
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

// Ids are not to be guessed, so they have the length of random ones.
void CheckId(const std::string& id) {
  const auto is_digit = [](unsigned char c) { return std::isxdigit(c) != 0; };
  if (id.size() == kIdDigits && std::all_of(id.begin(), id.end(), is_digit)) return;
  throw Error(reason::kInvalidArgument,
              fmt::format("session_id '{}' is not {} hexadecimal digits", id, kIdDigits));
}

// Says when memory that lay idle goes back to the system: after the time of a few commands, so that
// what each step of a training uses stays.
class IdleTimer {
 public:
  using Clock = std::chrono::steady_clock;

  // To be asked each kSweepPeriod, with the longest that a command took meanwhile.
  bool IsDue(Clock::time_point now, std::chrono::duration<double> longest) {
    constexpr double kFewCommands = 3;
    constexpr double kKept = 0.998;  // a minute and a half until a long command counts half
    constexpr std::chrono::seconds kShortest(5);
    longest_ = std::max(longest_ * kKept, longest);
    if (now - last_ < kShortest || now - last_ < longest_ * kFewCommands) return false;
    last_ = now;
    return true;
  }

 private:
  Clock::time_point last_ = Clock::now();
  std::chrono::duration<double> longest_{0};
};

}  // namespace

SessionStore::SessionStore(std::vector<std::unique_ptr<Backend>> backends, ComputePool& pool,
                           const SessionLimits& limits, std::string missing_devices)
    : backends_(std::move(backends)),
      missing_devices_(std::move(missing_devices)),
      pool_(pool),
      limits_(limits),
      all_{"", std::make_shared<Quota>(limits.max_bytes, "max_server_bytes"),
           std::make_shared<Quota>(limits.max_sessions, "max_sessions")},
      sweeper_([this] { Sweep(); }) {}

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
    if (device == name || (device.empty() && name == "cpu")) {
      if (const std::string problem = backend->problem(); !problem.empty()) {
        throw Error(reason::kDeviceFailed, fmt::format("{}: {}", name, problem));
      }
      return *backend;
    }
    names += names.empty() ? name : ", " + name;
  }
  std::string message = fmt::format("this server has no device '{}'; it has: {}", device, names);
  if (!missing_devices_.empty()) message += fmt::format(" ({})", missing_devices_);
  throw Error(reason::kDeviceNotFound, std::move(message));
}

SessionOptions SessionStore::OptionsFor(const OpenRequest& request) const {
  SessionOptions options{.max_tensors = limits_.max_tensors,
                         .max_programs = limits_.max_programs,
                         .max_queued = limits_.max_queued,
                         .max_plans = static_cast<size_t>(std::max(limits_.max_plans, int64_t{0})),
                         .plans = limits_.plans};
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
  options.math_mode = request.math_mode;
  return options;
}

std::shared_ptr<const SessionStore::Tenant> SessionStore::TenantLocked(const std::string& name) {
  std::shared_ptr<const Tenant>& tenant = tenants_[name];
  if (tenant == nullptr) {
    const TenantLimits& limits = limits_.Of(name);
    tenant = std::make_shared<const Tenant>(
        Tenant{name, std::make_shared<Quota>(limits.max_bytes, "max_tenant_bytes", all_.bytes),
               std::make_shared<Quota>(limits.max_sessions, "max_tenant_sessions", all_.sessions)});
  }
  return tenant;
}

std::shared_ptr<Session> SessionStore::ReopenLocked(const std::string& id,
                                                    const std::string& tenant) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return nullptr;
  if (found->second.tenant->name != tenant) {
    throw Error(reason::kInvalidArgument, fmt::format("session_id '{}' cannot be had", id));
  }
  found->second.session->Renew();
  return found->second.session;
}

std::shared_ptr<Session> SessionStore::Open(const OpenRequest& request, const std::string& tenant) {
  if (!request.id.empty()) CheckId(request.id);
  const SessionOptions options = OptionsFor(request);
  Backend& backend = FindBackend(request.device);
  const std::string id = request.id.empty() ? NewId() : request.id;
  std::shared_ptr<Session> session;  // where it is refused, freed after the lock
  const std::lock_guard lock(mutex_);
  if (const auto open = ReopenLocked(id, tenant)) return open;
  if (draining_) throw Error(reason::kShuttingDown, "the server is stopping; open elsewhere");
  const std::shared_ptr<const Tenant> owner = TenantLocked(tenant);
  owner->sessions->Take(1);
  try {
    session = std::make_shared<Session>(id, backend, pool_, options, owner->bytes);
    sessions_[id] = {session, owner};
  } catch (...) {
    owner->sessions->Give(1);
    throw;
  }
  return session;
}

std::shared_ptr<Session> SessionStore::Find(const std::string& id, const std::string& tenant) {
  std::shared_ptr<Session> late;  // freed after the lock
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(id);
  if (found != sessions_.end() && found->second.tenant->name == tenant) {
    const std::shared_ptr<Session>& session = found->second.session;
    if (!session->Expired(std::chrono::steady_clock::now())) {
      session->Renew();
      return session;
    }
    late = ExpireLocked(found);
  }
  const auto is_it = [&](const Expired& past) { return past.id == id && past.tenant == tenant; };
  if (std::any_of(expired_.begin(), expired_.end(), is_it)) {
    throw Error(reason::kSessionExpired, fmt::format("the lease of session '{}' ran out", id));
  }
  throw Error(reason::kSessionNotFound, fmt::format("this server has no session '{}'", id));
}

void SessionStore::Close(const std::string& id, const std::string& tenant) {
  std::shared_ptr<Session> session = Find(id, tenant);  // freed after the lock
  const std::lock_guard lock(mutex_);
  if (const auto found = sessions_.find(id); found != sessions_.end()) RemoveLocked(found);
}

std::vector<TenantUsage> SessionStore::Usage() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, TenantUsage> usage;
  for (const auto& [name, tenant] : tenants_) {
    TenantUsage& of_tenant = usage[name] = {name, tenant->bytes->used(), {}};
    for (const auto& backend : backends_) of_tenant.devices[backend->device().name()];
  }
  for (const auto& [id, entry] : sessions_) {
    auto& on_device = usage[entry.tenant->name].devices[entry.session->device().name()];
    ++on_device.sessions;
    on_device.tensors += entry.session->tensor_count();
  }
  std::vector<TenantUsage> list;
  for (auto& [name, of_tenant] : usage) list.push_back(std::move(of_tenant));
  return list;
}

void SessionStore::Drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
}

void SessionStore::Sweep() {
  std::unique_lock lock(mutex_);
  IdleTimer idle;
  while (!wake_.wait_for(lock, kSweepPeriod, [this] { return stopping_; })) {
    std::vector<std::shared_ptr<Session>> late;
    const auto now = std::chrono::steady_clock::now();
    for (auto it = sessions_.begin(); it != sessions_.end();) {
      const auto next = std::next(it);
      if (it->second.session->Expired(now)) late.push_back(ExpireLocked(it));
      it = next;
    }
    lock.unlock();
    late.clear();
    if (idle.IsDue(now, pool_.TakeLongest())) {
      for (const auto& backend : backends_) backend->ReleaseIdle();
    }
    lock.lock();
  }
}

std::shared_ptr<Session> SessionStore::RemoveLocked(Table::iterator it) {
  std::shared_ptr<Session> session = std::move(it->second.session);
  it->second.tenant->sessions->Give(1);
  sessions_.erase(it);
  return session;
}

std::shared_ptr<Session> SessionStore::ExpireLocked(Table::iterator it) {
  expired_.push_back({it->first, it->second.tenant->name});
  if (expired_.size() > kRememberedIds) expired_.pop_front();
  return RemoveLocked(it);
}

}  // namespace gradwire
