#include "rpc/execute.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <chrono>
#include <utility>

#include "absl/hash/hash.h"
#include "core/error.h"

namespace gradwire::rpc {

std::function<void()> StopWithCall(const grpc::CallbackServerContext& context,
                                   const Session& session) {
  return [&context, &session] {
    session.pool().ShareCpus();
    if (!context.IsCancelled()) return;
    if (std::chrono::system_clock::now() >= context.deadline()) {
      throw Error(reason::kDeadlineExceeded, "the call's deadline passed; nothing was changed");
    }
    throw Error(reason::kCancelled, "the client gave up; nothing was changed");
  };
}

uint64_t PayloadHash(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);  // maps in order of key
    message.SerializeToCodedStream(&coded);
  }
  return absl::HashOf(message.GetTypeName(), bytes) | 1u;
}

void RunMeasured(CommandScope& scope, PhaseClock& clock,
                 const std::function<void(CommandScope&)>& command) {
  command(scope);
  clock.Ends(Phase::kDecode);
  scope.transaction.Commit();
  clock.Ends(Phase::kCompute);
  for (const auto& encode : scope.after_commit) encode();
  clock.Ends(Phase::kEncode);
}

namespace {

// The arrays are decoded ahead of the verbs that take them, so that they are known by their order.
void StartRecord(CommandScope& scope, const Repeatable& repeatable) {
  const auto given = DecodeArrays(repeatable, scope.session.stream());
  if (!given.has_value()) return;
  for (size_t i = 0; i < given->size(); ++i) scope.given.emplace(repeatable.arrays[i], (*given)[i]);
  scope.transaction.Record(repeatable.key, *given);
}

void RunOrRepeat(Session& session, PhaseClock clock, const RepeatablePtr& repeatable,
                 google::protobuf::Message* response, const std::function<void()>& between_ops,
                 const std::function<void(CommandScope&)>& command) {
  const bool repeated =
      repeatable != nullptr && Repeat(session, *repeatable, clock, between_ops, response);
  if (repeatable != nullptr) clock.metrics().Planned(repeated);
  if (repeated) return;
  CommandScope scope(session, between_ops);
  const bool recorded = repeatable != nullptr && session.commands().Wants(repeatable->key);
  if (recorded) StartRecord(scope, *repeatable);
  RunMeasured(scope, clock, [&](CommandScope& traced) {
    command(traced);
    if (recorded) traced.transaction.Answer(traced.answers, response->SerializeAsString());
  });
}

bool LacksMemory(const Error& error) {
  return error.reason().name == reason::kQuotaExceeded.name ||
         error.reason().name == reason::kOutOfMemory.name;
}

}  // namespace

void ExecuteOnce(Session& session, PhaseClock clock, uint64_t sequence, uint64_t payload,
                 const RepeatablePtr& repeatable, google::protobuf::Message* response,
                 const std::function<void()>& between_ops,
                 const std::function<void(CommandScope&)>& command) {
  if (sequence != 0) {
    if (const std::string* answer = session.replays().Find(sequence, payload)) {
      response->ParseFromString(*answer);
      return;
    }
  }
  between_ops();
  try {
    RunOrRepeat(session, clock, repeatable, response, between_ops, command);
  } catch (const Error& error) {
    // What the cached plans keep may be what the command lacks. Nothing has changed yet; but a
    // command that is not repeatable may have used its arguments up.
    if (repeatable == nullptr || !LacksMemory(error) || !session.commands().Clear()) throw;
    response->Clear();
    RunOrRepeat(session, clock, repeatable, response, between_ops, command);
  }
  if (sequence != 0) {
    session.replays().Store(sequence, payload, response->SerializeAsString());
  }
}

}  // namespace gradwire::rpc
