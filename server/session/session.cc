#include "session/session.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"

namespace gradwire {

Session::Session(std::string id, Backend& backend, ComputePool& pool, const SessionOptions& options,
                 std::shared_ptr<Quota> parent)
    : id_(std::move(id)),
      options_(options),
      pool_(pool),
      quota_(std::make_shared<Quota>(options.max_bytes, "max_session_bytes", std::move(parent))),
      stream_(backend.NewStream(quota_)),
      device_(stream_->device()),
      strand_(std::make_shared<Strand>(pool)),
      lease_(std::make_shared<Lease>(options.lease)),
      queue_(std::make_shared<Quota>(options.max_queued, "max_session_queued")),
      random_state_(options.seed),
      commands_(options.max_plans) {
  stream_->set_math_mode(options.math_mode);
}

void Session::Post(std::function<void()> task, int64_t bytes, const std::function<bool()>& here) {
  queue_->Take(1);
  try {
    quota_->Take(bytes);
  } catch (...) {
    queue_->Give(1);
    throw;
  }
  lease_->Begin();
  strand_->Post(
      [lease = lease_, queue = queue_, quota = quota_, bytes, task = std::move(task)]() mutable {
        queue->Give(1);
        quota->Give(bytes);
        task();
        task = nullptr;
        lease->End();
      },
      here);
}

std::shared_ptr<Stream> Session::host() const {
  const std::lock_guard lock(mutex_);
  return {stream_, &stream_->host()};
}

std::shared_ptr<SharedArrays> Session::AttachMemory(size_t tensor_bytes, size_t inbox_bytes) {
  const std::lock_guard lock(mutex_);
  auto* shareable = dynamic_cast<Shareable*>(stream_.get());
  if (shareable == nullptr) {
    throw Error(reason::kInvalidArgument,
                fmt::format("device '{}' has no memory that can be shared", device().name()));
  }
  if (shared_arrays_ != nullptr) {
    throw Error(reason::kInvalidArgument, "the session has shared memory attached already");
  }
  shared_arrays_ = std::make_shared<SharedArrays>(*shareable, quota_, tensor_bytes, inbox_bytes);
  return shared_arrays_;
}

SharedArrays& Session::shared_arrays() const {
  const std::lock_guard lock(mutex_);
  if (shared_arrays_ != nullptr) return *shared_arrays_;
  throw Error(reason::kInvalidArgument,
              "the session has no shared memory: call AttachMemory first");
}

void Lease::Renew() {
  const std::lock_guard lock(mutex_);
  renewed_ = std::chrono::steady_clock::now();
}

bool Lease::Expired(std::chrono::steady_clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  return under_way_ == 0 && now - renewed_ > length_;
}

void Lease::Begin() {
  const std::lock_guard lock(mutex_);
  ++under_way_;
}

void Lease::End() {
  const std::lock_guard lock(mutex_);
  --under_way_;
  renewed_ = std::chrono::steady_clock::now();
}

}  // namespace gradwire
