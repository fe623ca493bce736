// Pipeline: commands without waiting, replies in order, and poison where a failed command would
// have bound names.

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "rpc/command_names.h"
#include "rpc/execute.h"
#include "rpc/service.h"

namespace gradwire::rpc {
namespace {

// Commands taken from the network and not answered yet; beyond that, reading waits.
constexpr int64_t kMaxInFlight = 1024;
// The same in bytes of requests.
constexpr size_t kMaxBytesInFlight = size_t{256} << 20;
// Answers that the client has not read yet; commands beyond that are refused.
constexpr size_t kMaxUnreadBytes = size_t{1} << 30;

// Names that failed commands would have bound, with the sequence of the first cause.
class Poison {
 public:
  // Throws DEPENDENCY_FAILED when the command reads such a name.
  void Check(const CommandNames& names) const {
    for (const std::string& name : names.reads) {
      for (const auto& [poisoned, cause] : causes_) {
        if (!Matches(poisoned, name)) continue;
        throw Error(reason::kDependencyFailed,
                    fmt::format("'{}' is not what it should be: command {} failed", name, cause))
            .With("tensor", name)
            .With("command", std::to_string(cause));
      }
    }
  }
  void Add(const CommandNames& names, uint64_t cause) {
    for (const std::string& name : names.writes) causes_.emplace(name, cause);
  }
  void Clear(const CommandNames& names) {
    for (const std::string& name : names.writes) {
      std::erase_if(causes_, [&](const auto& entry) { return Matches(name, entry.first); });
    }
  }
  // The first cause behind what the command reads, or `own` where it is its own.
  uint64_t Cause(const Error& error, uint64_t own) const {
    if (error.reason().name != reason::kDependencyFailed.name) return own;
    return std::stoull(error.metadata().at("command"));
  }

 private:
  static bool Matches(const std::string& a, const std::string& b) {
    if (a == b) return true;
    const auto covers = [](const std::string& pattern, const std::string& name) {
      return pattern.ends_with('*') && name.starts_with(pattern.substr(0, pattern.size() - 1));
    };
    return covers(a, b) || covers(b, a);
  }

  std::map<std::string, uint64_t> causes_;
};

// An answer that waits for its turn.
struct Unread {
  v1::PipelineResponse response;
  size_t bytes = 0;
  size_t request_bytes = 0;
};

class PipelineReactor final
    : public grpc::ServerBidiReactor<v1::PipelineRequest, v1::PipelineResponse> {
 public:
  PipelineReactor(const Access& access, grpc::CallbackServerContext* context)
      : access_(access), context_(context) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      StopReading(grpc::Status::OK);
      return;
    }
    // Anew for each command: the session may have ended meanwhile.
    const size_t bytes = request_.ByteSizeLong();
    const grpc::Status found = Guard([&] {
      access_.CheckMessage(*context_, bytes);
      const auto session =
          access_.Find(*context_, session_ == nullptr ? request_.session_id() : session_->id());
      if (session_ == nullptr) session_ = session;
    });
    if (!found.ok()) {
      StopReading(found);
      return;
    }
    auto request = std::make_shared<v1::PipelineRequest>(std::move(request_));
    request_.Clear();
    {
      const std::lock_guard lock(mutex_);
      ++in_flight_;
      bytes_in_flight_ += bytes;
    }
    access_.metrics().Received(bytes);
    const grpc::Status queued = Guard([&] {
      PhaseClock clock(access_.metrics());
      const RepeatablePtr repeatable = RepeatableOf(request->command(), *session_);
      session_->Post(
          [this, bytes, clock, request, repeatable]() mutable {
            clock.Ends(Phase::kQueue);
            Answer(*request, repeatable, bytes, clock);
          },
          0, [&] { return bytes < kSmallMessage && IsQuick(*session_, repeatable); });
    });
    if (!queued.ok()) {
      Refuse(bytes, queued);
      return;
    }
    bool read_on = false;
    {
      const std::lock_guard lock(mutex_);
      read_on = MayReadLocked();
      waiting_to_read_ = !read_on;
    }
    if (read_on) StartRead(&request_);
  }

  void OnWriteDone(bool) override {
    bool read_on = false;
    bool finish = false;
    {
      const std::lock_guard lock(mutex_);
      bytes_in_flight_ -= answers_.front().request_bytes;
      unread_bytes_ -= answers_.front().bytes;
      answers_.pop_front();
      --in_flight_;
      read_on = waiting_to_read_ && MayReadLocked();
      if (read_on) waiting_to_read_ = false;
      if (!answers_.empty()) StartWrite(&answers_.front().response);
      finish = IdleLocked();
    }
    if (read_on) StartRead(&request_);
    if (finish) Finish(status_);
  }

  void OnDone() override { delete this; }

 private:
  // On the strand.
  void Answer(const v1::PipelineRequest& request, const RepeatablePtr& repeatable,
              size_t request_bytes, const PhaseClock& clock) {
    v1::PipelineResponse response;
    response.set_sequence(request.sequence());
    CommandNames names;
    const std::optional<Error> error = Catch([&] {
      names = NamesOf(request.command(), *session_);
      poison_.Check(names);
      CheckUnread();
      ExecuteOnce(*session_, clock, request.sequence(), PayloadHash(request.command()), repeatable,
                  response.mutable_result(), StopWithCall(*context_, *session_),
                  [&](CommandScope& scope) {
                    Dispatch(scope, request.command(), response.mutable_result());
                  });
    });
    session_->Renew();
    if (error.has_value()) {
      access_.metrics().Failed(*error);
      poison_.Add(names, poison_.Cause(*error, request.sequence()));
      Error named = *error;
      named.Prefix(
          fmt::format("command {} ({}): ", request.sequence(), CommandName(request.command())));
      named.With("command", std::to_string(request.sequence()));
      response.set_error(ToDetails(named));
    } else {
      poison_.Clear(names);
    }
    const size_t bytes = response.ByteSizeLong();
    access_.metrics().Sent(bytes);
    const std::lock_guard lock(mutex_);
    unread_bytes_ += bytes;
    answers_.push_back({std::move(response), bytes, request_bytes});
    if (answers_.size() == 1) StartWrite(&answers_.front().response);
  }

  void CheckUnread() {
    const std::lock_guard lock(mutex_);
    if (unread_bytes_ <= kMaxUnreadBytes) return;
    throw Error(reason::kQuotaExceeded,
                fmt::format("{} bytes of answers are not read yet", unread_bytes_))
        .With("limit", std::to_string(kMaxUnreadBytes))
        .With("used", std::to_string(unread_bytes_));
  }

  bool MayReadLocked() const {
    const int64_t queue = session_->options().max_queued;
    const int64_t most = queue == 0 ? kMaxInFlight : std::min(kMaxInFlight, queue);
    return in_flight_ < most && bytes_in_flight_ < kMaxBytesInFlight;
  }

  // Ends the stream at a command that was not queued, once those before it are answered.
  void Refuse(size_t bytes, const grpc::Status& status) {
    {
      const std::lock_guard lock(mutex_);
      --in_flight_;
      bytes_in_flight_ -= bytes;
    }
    StopReading(status);
  }

  void StopReading(const grpc::Status& status) {
    bool finish = false;
    {
      const std::lock_guard lock(mutex_);
      done_reading_ = true;
      status_ = status;
      finish = IdleLocked();
    }
    if (finish) Finish(status_);
  }

  // Whether nothing is left to do; true once. The caller finishes without the lock: the reactor is
  // deleted by it.
  bool IdleLocked() { return done_reading_ && in_flight_ == 0 && !std::exchange(finished_, true); }

  const Access& access_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<Session> session_;
  v1::PipelineRequest request_;
  Poison poison_;  // belongs to the strand

  std::mutex mutex_;  // guards what follows
  std::deque<Unread> answers_;
  int64_t in_flight_ = 0;
  size_t bytes_in_flight_ = 0;
  size_t unread_bytes_ = 0;
  bool waiting_to_read_ = false;
  bool done_reading_ = false;
  bool finished_ = false;
  grpc::Status status_ = grpc::Status::OK;
};

}  // namespace

grpc::ServerBidiReactor<v1::PipelineRequest, v1::PipelineResponse>* Service::Pipeline(
    grpc::CallbackServerContext* context) {
  return new PipelineReactor(access_, context);
}

}  // namespace gradwire::rpc
