// The verbs on messages: each decodes, calls the verb of the same name on the transaction, and
// encodes. Run and Pipeline use the same functions as the single calls.
#ifndef GRADWIRE_RPC_COMMANDS_H_
#define GRADWIRE_RPC_COMMANDS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "gradwire/v1/gradwire.pb.h"
#include "rpc/payloads.h"
#include "session/session.h"
#include "session/transaction.h"

namespace gradwire::rpc {

// Of arrays in one answer: half of what a Protocol Buffers message can have, which the rest of the
// answer never fills.
inline constexpr int64_t kMaxAnswerBytes = int64_t{1} << 30;

// One transaction, and what is left to do once it is committed: encoding arrays that are computed
// by then. Lives on the session's strand.
struct CommandScope {
  Session& session;
  Payloads& payloads;
  Profile profile;  // what the transaction ran, once a command has asked for it
  Transaction transaction;
  std::vector<std::function<void()>> after_commit = {};
  // Arrays that will be in the answer, in its order.
  std::vector<NamedValue> answers = {};
  int64_t answer_bytes = 0;
  // The request's arrays, where they are decoded already.
  absl::flat_hash_map<const v1::TensorProto*, Tensor> given = {};

  // `p`: of the request and its answer.
  CommandScope(Session& s, Payloads& p, std::function<void()> between_ops)
      : session(s), payloads(p), transaction(s, std::move(between_ops)) {}
  // Writes a profile of the command that is being traced into `answer`, a response's `profile`.
  void AnswerProfile(std::string* answer);
  // Counts arrays that the answer will carry. Throws INVALID_ARGUMENT for more than fit a message.
  void Answer(int64_t bytes);
  // An array of the request on the session's device.
  Tensor Take(const v1::TensorProto& proto);
};

void Put(CommandScope& scope, const v1::PutRequest& request, v1::PutResponse* response);
void Fetch(CommandScope& scope, const v1::FetchRequest& request, v1::FetchResponse* response);
void PutShared(CommandScope& scope, const v1::PutSharedRequest& request,
               v1::PutSharedResponse* response);
void FetchShared(CommandScope& scope, const v1::FetchSharedRequest& request,
                 v1::FetchSharedResponse* response);
void Forward(CommandScope& scope, const v1::ForwardRequest& request, v1::ForwardResponse* response);
void Backward(CommandScope& scope, const v1::BackwardRequest& request,
              v1::BackwardResponse* response);
void Gradients(CommandScope& scope, const v1::GradientsRequest& request,
               v1::GradientsResponse* response);
void Jvp(CommandScope& scope, const v1::JvpRequest& request, v1::JvpResponse* response);
void Hvp(CommandScope& scope, const v1::HvpRequest& request, v1::HvpResponse* response);
void Detach(CommandScope& scope, const v1::DetachRequest& request, v1::DetachResponse* response);
void Copy(CommandScope& scope, const v1::CopyRequest& request, v1::CopyResponse* response);
void Delete(CommandScope& scope, const v1::DeleteRequest& request, v1::DeleteResponse* response);
void ListTensors(CommandScope& scope, const v1::ListTensorsRequest& request,
                 v1::ListTensorsResponse* response);
void DescribeTensor(CommandScope& scope, const v1::DescribeTensorRequest& request,
                    v1::DescribeTensorResponse* response);
void Step(CommandScope& scope, const v1::StepRequest& request, v1::StepResponse* response);
void ZeroGrad(CommandScope& scope, const v1::ZeroGradRequest& request,
              v1::ZeroGradResponse* response);
void ListPrograms(CommandScope& scope, const v1::ListProgramsRequest& request,
                  v1::ListProgramsResponse* response);
void DescribeProgram(CommandScope& scope, const v1::DescribeProgramRequest& request,
                     v1::DescribeProgramResponse* response);
void UnloadProgram(CommandScope& scope, const v1::UnloadProgramRequest& request,
                   v1::UnloadProgramResponse* response);
void SetVjp(CommandScope& scope, const v1::SetVjpRequest& request, v1::SetVjpResponse* response);
void GetGraph(CommandScope& scope, const v1::GetGraphRequest& request,
              v1::GetGraphResponse* response);
void DescribeSession(CommandScope& scope, const v1::DescribeSessionRequest& request,
                     v1::DescribeSessionResponse* response);
void Run(CommandScope& scope, const v1::RunRequest& request, v1::RunResponse* response);

// One command of a Run or a Pipeline.
void Dispatch(CommandScope& scope, const v1::Command& command, v1::CommandResult* result);
// The command's field name: "forward".
std::string CommandName(const v1::Command& command);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_COMMANDS_H_
