// Pipeline: commands without waiting, replies in order, and poison where a failed command would
// have bound names.

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
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
  bool empty() const { return causes_.empty(); }
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

// A command that was taken from the network, and its answer.
struct Taken {
  MessageBlock messages;
  v1::PipelineRequest& request = messages.New<v1::PipelineRequest>();
  v1::PipelineResponse& response = messages.New<v1::PipelineResponse>();
  Payloads payloads;
  size_t bytes = 0;
  RepeatablePtr repeatable;
  std::optional<PhaseClock> clock;
};

// An answer that waits for its turn.
struct Unread {
  grpc::ByteBuffer response;
  size_t request_bytes = 0;
};

class PipelineCall final : public Call {
 public:
  explicit PipelineCall(const Access& access) : access_(access) {}

 private:
  void OnCall(grpc::ByteBuffer&) override { Read(message_); }

  void OnRead(bool ok) override {
    if (!ok) return StopReading(grpc::Status::OK);
    const auto taken = std::make_shared_for_overwrite<Taken>();  // its block stays as it is
    taken->bytes = message_.Length();
    const grpc::Status found = Guard([&] { Find(*taken); });
    if (!found.ok()) return StopReading(found);
    {
      const std::lock_guard lock(mutex_);
      ++in_flight_;
      bytes_in_flight_ += taken->bytes;
    }
    access_.metrics().Received(taken->bytes);
    const grpc::Status queued = Guard([&] {
      taken->repeatable = RepeatableOf(taken->request.command(), *session_);
      taken->clock.emplace(access_.metrics());
      session_->Post(
          [this, taken] { Answer(*taken); }, 0,
          [&] {
            return IsBrief(taken->request.command(), taken->bytes, *session_) ||
                   (taken->bytes < kSmallMessage && IsQuick(*session_, taken->repeatable));
          });
    });
    if (!queued.ok()) return Refuse(taken->bytes, queued);
    bool read_on = false;
    {
      const std::lock_guard lock(mutex_);
      read_on = MayReadLocked();
      waiting_to_read_ = !read_on;
    }
    if (read_on) Read(message_);
  }

  void OnWritten(bool) override {
    bool read_on = false;
    bool finish = false;
    {
      const std::lock_guard lock(mutex_);
      bytes_in_flight_ -= answers_.front().request_bytes;
      unread_bytes_ -= answers_.front().response.Length();
      answers_.pop_front();
      --in_flight_;
      read_on = waiting_to_read_ && MayReadLocked();
      if (read_on) waiting_to_read_ = false;
      if (!answers_.empty()) WriteFrontLocked();
      finish = IdleLocked();
    }
    if (read_on) Read(message_);
    if (finish) Finish(status_);
  }

  // Decodes the command and finds its session: anew for each, since it may have ended meanwhile.
  void Find(Taken& taken) {
    access_.CheckMessage(context(), taken.bytes);
    taken.payloads.Parse(message_, taken.request);
    message_.Clear();
    const auto session =
        access_.Find(context(), session_ == nullptr ? taken.request.session_id() : session_->id());
    if (session_ == nullptr) session_ = session;
  }

  // On the strand.
  void Answer(Taken& taken) {
    taken.clock->Ends(Phase::kQueue);
    const v1::PipelineRequest& request = taken.request;
    v1::PipelineResponse& response = taken.response;
    response.set_sequence(request.sequence());
    CommandNames names;  // where they matter
    const std::optional<Error> error = Catch([&] {
      if (!poison_.empty()) names = NamesOf(request.command(), *session_);
      poison_.Check(names);
      CheckUnread();
      const uint64_t payload =
          request.sequence() == 0 ? 0 : PayloadHash(request.command(), taken.payloads);
      ExecuteOnce(*session_, *taken.clock, request.sequence(), payload, taken.repeatable,
                  taken.payloads, response.mutable_result(), StopWithCall(*this, *session_),
                  [&](CommandScope& scope) {
                    Dispatch(scope, request.command(), response.mutable_result());
                  });
    });
    session_->Renew();
    if (error.has_value()) {
      Fail(request, *error, response);
    } else {
      poison_.Clear(names);
    }
    Send({taken.payloads.Serialize(response), taken.bytes});
  }

  void Fail(const v1::PipelineRequest& request, const Error& error,
            v1::PipelineResponse& response) {
    access_.metrics().Failed(error);
    // The names of a command that makes no sense are none.
    Catch([&] {
      poison_.Add(NamesOf(request.command(), *session_), poison_.Cause(error, request.sequence()));
    });
    Error named = error;
    named.Prefix(
        fmt::format("command {} ({}): ", request.sequence(), CommandName(request.command())));
    named.With("command", std::to_string(request.sequence()));
    response.set_error(ToDetails(named));
  }

  void Send(Unread answer) {
    const size_t bytes = answer.response.Length();
    access_.metrics().Sent(bytes);
    const std::lock_guard lock(mutex_);
    unread_bytes_ += bytes;
    answers_.push_back(std::move(answer));
    if (answers_.size() > 1) return;
    // Where the answer is here at once, so may be more: they travel together.
    InQueue() ? AwaitIdle() : WriteFrontLocked();
  }

  void OnIdle() override {
    const std::lock_guard lock(mutex_);
    WriteFrontLocked();
  }

  void WriteFrontLocked() {
    const grpc::ByteBuffer& front = answers_.front().response;
    answers_.size() > 1 ? WriteAhead(front) : Write(front);
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

  // Whether nothing is left to do; true once.
  bool IdleLocked() { return done_reading_ && in_flight_ == 0 && !std::exchange(finished_, true); }

  const Access& access_;
  std::shared_ptr<Session> session_;
  grpc::ByteBuffer message_;
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

std::unique_ptr<Call> Service::Pipeline() { return std::make_unique<PipelineCall>(access_); }

}  // namespace gradwire::rpc
