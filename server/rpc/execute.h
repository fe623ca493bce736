// How a command runs: on its session's strand, once per sequence number, wholly or not at all.
#ifndef GRADWIRE_RPC_EXECUTE_H_
#define GRADWIRE_RPC_EXECUTE_H_

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "rpc/access.h"
#include "rpc/commands.h"
#include "rpc/repeat.h"
#include "rpc/status.h"

namespace gradwire::rpc {

// A check between operators that stops the work of a call whose client is gone or whose deadline
// has passed. The context outlives the command.
std::function<void()> StopWithCall(const grpc::CallbackServerContext& context,
                                   const Session& session);

// A hash of a message's bytes; never 0.
uint64_t PayloadHash(const google::protobuf::Message& message);

// Requests below this wait without being booked as memory: a session that is full must take those
// that free something.
inline constexpr size_t kSmallMessage = size_t{64} << 10;

// Bytes of a message.
inline size_t Bytes(const google::protobuf::Message& message) { return message.ByteSizeLong(); }
inline size_t Bytes(const grpc::ByteBuffer& message) { return message.Length(); }

// Runs what `command` traces, and measures its parts.
void RunMeasured(CommandScope& scope, PhaseClock& clock,
                 const std::function<void(CommandScope&)>& command);

// Runs one command on the strand (where the caller is) and fills `response`: with the remembered
// answer when `sequence` is not 0 and was answered before for the same payload. Throws.
// One that is `repeatable` need not be traced each time.
void ExecuteOnce(Session& session, PhaseClock clock, uint64_t sequence, uint64_t payload,
                 const RepeatablePtr& repeatable, google::protobuf::Message* response,
                 const std::function<void()>& between_ops,
                 const std::function<void(CommandScope&)>& command);

template <class Request>
uint64_t SequenceOf(const Request& request) {
  if constexpr (requires { request.sequence(); }) return request.sequence();
  return 0;
}

// Finds the session, queues the command and finishes the call with its status.
template <class Request, class Response>
grpc::ServerUnaryReactor* Execute(const Access& access, grpc::CallbackServerContext* context,
                                  const Request* request, Response* response,
                                  void (*verb)(CommandScope&, const Request&, Response*)) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const grpc::Status queued = Guard([&] {
    const size_t bytes = Bytes(*request);
    access.CheckMessage(*context, bytes);
    const std::shared_ptr<Session> session = access.Find(*context, request->session_id());
    access.metrics().Received(bytes);
    const uint64_t sequence = SequenceOf(*request);
    const uint64_t payload = sequence == 0 ? 0 : PayloadHash(*request);
    const RepeatablePtr repeatable = RepeatableOf(*request, *session);
    PhaseClock clock(access.metrics());
    session->Post(
        [=, &access]() mutable {
          clock.Ends(Phase::kQueue);
          const grpc::Status status = Guard([&] {
            ExecuteOnce(*session, clock, sequence, payload, repeatable, response,
                        StopWithCall(*context, *session),
                        [&](CommandScope& scope) { verb(scope, *request, response); });
          });
          access.metrics().Sent(Bytes(*response));
          session->Renew();
          reactor->Finish(status);
        },
        bytes < kSmallMessage ? 0 : static_cast<int64_t>(bytes),
        [&] { return bytes < kSmallMessage && IsQuick(*session, repeatable); });
  });
  if (!queued.ok()) reactor->Finish(queued);
  return reactor;
}

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_EXECUTE_H_
