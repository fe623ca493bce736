// How a command runs: on its session's strand, once per sequence number, wholly or not at all.
#ifndef GRADWIRE_RPC_EXECUTE_H_
#define GRADWIRE_RPC_EXECUTE_H_

#include <google/protobuf/arena.h>
#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "rpc/access.h"
#include "rpc/call.h"
#include "rpc/commands.h"
#include "rpc/repeat.h"
#include "rpc/status.h"

namespace gradwire::rpc {

// A check between operators that stops the work of a call whose client is gone or whose deadline
// has passed. The call outlives the command.
std::function<void()> StopWithCall(const Call& call, const Session& session);

// A hash of a message's bytes, with those beside it; never 0.
uint64_t PayloadHash(const google::protobuf::Message& message,
                     const Payloads& payloads = Payloads());

// Requests below this wait without being booked as memory: a session that is full must take those
// that free something.
inline constexpr size_t kSmallMessage = size_t{64} << 10;

// Whether a command does no more than to look up, bind, and copy little: as with IsQuick
// (rpc/repeat.h), to wake a worker would take longer. `bytes`: of the request. To be called on the
// session's strand.
inline constexpr size_t kBriefBytes = size_t{4} << 20;
bool IsBrief(const v1::PutRequest& request, size_t bytes, const Session& session);
bool IsBrief(const v1::FetchRequest& request, size_t bytes, const Session& session);
bool IsBrief(const v1::Command& command, size_t bytes, const Session& session);
inline bool IsBrief(const google::protobuf::Message&, size_t, const Session&) { return false; }

// Runs what `command` traces, and measures its parts.
void RunMeasured(CommandScope& scope, PhaseClock& clock,
                 const std::function<void(CommandScope&)>& command);

// Runs one command on the strand (where the caller is) and fills `response`: with the remembered
// answer when `sequence` is not 0 and was answered before for the same payload. Throws.
// One that is `repeatable` need not be traced each time. `payloads`: of the request, and of the
// response from then on.
void ExecuteOnce(Session& session, PhaseClock clock, uint64_t sequence, uint64_t payload,
                 const RepeatablePtr& repeatable, Payloads& payloads,
                 google::protobuf::Message* response, const std::function<void()>& between_ops,
                 const std::function<void(CommandScope&)>& command);

template <class Request>
uint64_t SequenceOf(const Request& request) {
  if constexpr (requires { request.sequence(); }) return request.sequence();
  return 0;
}

// The messages of one command: small ones lie in one block.
class MessageBlock {
 public:
  MessageBlock() : arena_(StartingWith(block_)) {}

  template <class Message>
  Message& New() {
    return *google::protobuf::Arena::CreateMessage<Message>(&arena_);
  }

 private:
  static google::protobuf::ArenaOptions StartingWith(std::span<char> block) {
    google::protobuf::ArenaOptions options;
    options.initial_block = block.data();
    options.initial_block_size = block.size();
    return options;
  }

  alignas(std::max_align_t) std::array<char, 3072> block_;
  google::protobuf::Arena arena_;
};

// A command in a session that takes one message and gives one.
template <class Request, class Response>
class CommandCall final : public Call {
 public:
  using Verb = std::function<void(CommandScope&, const Request&, Response*)>;

  CommandCall(const Access& access, Verb verb) : access_(access), verb_(std::move(verb)) {}

 private:
  // Finds the session and queues the command.
  void OnCall(grpc::ByteBuffer& message) override {
    const grpc::Status queued = Guard([&] {
      const size_t bytes = message.Length();
      access_.CheckMessage(context(), bytes);
      payloads_.Parse(message, request_);
      message.Clear();
      session_ = access_.Find(context(), request_.session_id());
      access_.metrics().Received(bytes);
      sequence_ = SequenceOf(request_);
      payload_ = sequence_ == 0 ? 0 : PayloadHash(request_, payloads_);
      repeatable_ = RepeatableOf(request_, *session_);
      clock_.emplace(access_.metrics());
      const bool small = bytes < kSmallMessage;
      session_->Post([this] { Run(); }, small ? 0 : static_cast<int64_t>(bytes),
                     [&] {
                       return IsBrief(request_, bytes, *session_) ||
                              (small && IsQuick(*session_, repeatable_));
                     });
    });
    if (!queued.ok()) Finish(queued);
  }

  // On the strand.
  void Run() {
    clock_->Ends(Phase::kQueue);
    grpc::ByteBuffer answer;
    const grpc::Status status = Guard([&] {
      ExecuteOnce(*session_, *clock_, sequence_, payload_, repeatable_, payloads_, &response_,
                  StopWithCall(*this, *session_),
                  [&](CommandScope& scope) { verb_(scope, request_, &response_); });
      answer = payloads_.Serialize(response_);
    });
    session_->Renew();
    if (!status.ok()) return Finish(status);
    access_.metrics().Sent(answer.Length());
    FinishWith(answer);
  }

  const Access& access_;
  const Verb verb_;
  MessageBlock messages_;
  Request& request_ = messages_.New<Request>();
  Response& response_ = messages_.New<Response>();
  Payloads payloads_;
  std::shared_ptr<Session> session_;
  uint64_t sequence_ = 0;
  uint64_t payload_ = 0;
  RepeatablePtr repeatable_;
  std::optional<PhaseClock> clock_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_EXECUTE_H_
