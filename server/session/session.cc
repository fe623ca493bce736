#include "session/session.h"

#include <utility>

namespace gradwire {

Session::Session(std::string id, Backend& backend, ComputePool& pool, const SessionOptions& options)
    : id_(std::move(id)),
      options_(options),
      pool_(pool),
      quota_(std::make_shared<Quota>(options.max_bytes)),
      stream_(backend.NewStream(quota_)),
      strand_(std::make_shared<Strand>(pool)),
      renewed_(std::chrono::steady_clock::now()),
      random_state_(options.seed) {}

void Session::Renew() {
  const std::lock_guard lock(lease_mutex_);
  renewed_ = std::chrono::steady_clock::now();
}

bool Session::Expired(std::chrono::steady_clock::time_point now) const {
  const std::lock_guard lock(lease_mutex_);
  return now - renewed_ > options_.lease;
}

}  // namespace gradwire
