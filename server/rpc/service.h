// The gRPC edge: one handler a verb. gRPC's threads decode and encode; commands run on their
// session's strand of the compute pool.
#ifndef GRADWIRE_RPC_SERVICE_H_
#define GRADWIRE_RPC_SERVICE_H_

#include <memory>

#include "gradwire/v1/gradwire.pb.h"
#include "rpc/access.h"
#include "rpc/call.h"
#include "rpc/door.h"

namespace gradwire::rpc {

struct CommandScope;

class Service final : public CallService {
 public:
  // What is given outlives the service. `max_message_bytes`: what the listener takes in one
  // message. `door`: where shared memory is given out; nullptr: nowhere. `watch`: of CallService.
  Service(const Access& access, int64_t max_message_bytes, Door* door = nullptr,
          const WatchOptions* watch = nullptr);
  int64_t max_message_bytes() const { return max_message_bytes_; }

 private:
  // Adds methods of the .proto by their names.
  void AddVerb(const char* verb, MakeCall make);
  // rpc/unary.cc: those that take one message and give one, in a session and at once.
  void AddCommands();
  void AddAnswers();

  void GetServerInfo(const Call& call, const v1::GetServerInfoRequest& request,
                     v1::GetServerInfoResponse* response);
  void OpenSession(const Call& call, const v1::OpenSessionRequest& request,
                   v1::OpenSessionResponse* response);
  void KeepAlive(const Call& call, const v1::KeepAliveRequest& request,
                 v1::KeepAliveResponse* response);
  void CloseSession(const Call& call, const v1::CloseSessionRequest& request,
                    v1::CloseSessionResponse* response);
  void AttachMemory(const Call& call, const v1::AttachMemoryRequest& request,
                    v1::AttachMemoryResponse* response);
  // A command in a session, which knows of no other device than its own.
  void MoveSession(CommandScope& scope, const v1::MoveSessionRequest& request,
                   v1::MoveSessionResponse* response) const;
  std::unique_ptr<Call> PutStream();
  std::unique_ptr<Call> FetchStream();
  std::unique_ptr<Call> LoadProgram();
  std::unique_ptr<Call> Pipeline();
  std::unique_ptr<Call> SaveSession();
  std::unique_ptr<Call> RestoreSession();

  const Access& access_;
  const int64_t max_message_bytes_;
  Door* const door_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_SERVICE_H_
