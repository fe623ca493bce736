// Commands that come again with other arrays, answered from the session's cache of plans.
#ifndef GRADWIRE_RPC_REPEAT_H_
#define GRADWIRE_RPC_REPEAT_H_

#include <google/protobuf/message.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gradwire/v1/gradwire.pb.h"
#include "rpc/metrics.h"
#include "session/session.h"

namespace gradwire::rpc {

// The arrays that travel in a message, those in the attributes of nodes left out, in the order of
// its fields.
std::vector<v1::TensorProto*> ArraysIn(google::protobuf::Message& message);

// What a request is but for the elements of its arrays.
struct Repeatable {
  std::string key;
  std::vector<v1::TensorProto*> arrays;
};

using RepeatablePtr = std::shared_ptr<const Repeatable>;

// Null for a request that is too large to be kept, or asks for a profile. The message is as
// before on return. REQUIRES: nobody else reads it meanwhile.
RepeatablePtr RepeatableOf(google::protobuf::Message& message);

// Of commands that compute; null for others and where `session` keeps no plans. `request` is
// this call's own.
template <class Request>
RepeatablePtr RepeatableOf(const Request& request, Session& session);
RepeatablePtr RepeatableOf(const v1::Command& command, Session& session);

// On the session's device; nothing where one cannot be decoded.
std::optional<std::vector<Tensor>> DecodeArrays(const Repeatable& repeatable, Stream& stream);

// Whether the command is known to take less time than to wake a worker for it. To be called on the
// session's strand.
bool IsQuick(Session& session, const RepeatablePtr& command);

// Answers the command without tracing it; false where it must be traced.
bool Repeat(Session& session, const Repeatable& command, PhaseClock& clock,
            const std::function<void()>& between_ops, google::protobuf::Message* response);

template <class Request>
RepeatablePtr RepeatableOf(const Request& request, Session& session) {
  constexpr bool kComputes = requires { request.retain_graph(); } || requires {
    request.no_grad();
  } || requires { request.zero_grad(); } || requires { request.commands(); };
  if constexpr (kComputes) {
    if (!session.commands().enabled()) return nullptr;
    // gRPC made the message for this call alone.
    Request& own = const_cast<Request&>(request);
    const auto sequence = request.sequence();
    const std::string session_id = std::move(*own.mutable_session_id());
    own.clear_sequence();
    own.clear_session_id();
    RepeatablePtr repeatable = RepeatableOf(static_cast<google::protobuf::Message&>(own));
    own.set_sequence(sequence);
    own.set_session_id(session_id);
    return repeatable;
  }
  return nullptr;
}

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_REPEAT_H_
