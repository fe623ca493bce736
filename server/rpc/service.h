// The gRPC edge: one handler a verb. gRPC's threads decode and encode; commands run on their
// session's strand of the compute pool.
#ifndef GRADWIRE_RPC_SERVICE_H_
#define GRADWIRE_RPC_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "gradwire/v1/gradwire.grpc.pb.h"
#include "rpc/access.h"
#include "rpc/door.h"

namespace gradwire::rpc {

// PutStream and FetchStream take raw messages: their payload never passes through protobuf.
using RawService = v1::Gradwire::WithRawCallbackMethod_PutStream<
    v1::Gradwire::WithRawCallbackMethod_FetchStream<v1::Gradwire::CallbackService>>;

// Commands in a session that take one message and give one: rpc/unary.cc.
#define GRADWIRE_UNARY_VERBS(X) \
  X(DescribeSession)            \
  X(Put)                        \
  X(Fetch)                      \
  X(PutShared)                  \
  X(FetchShared)                \
  X(Forward)                    \
  X(Backward)                   \
  X(Gradients)                  \
  X(Jvp)                        \
  X(Hvp)                        \
  X(Detach)                     \
  X(Copy)                       \
  X(Delete)                     \
  X(ListTensors)                \
  X(DescribeTensor)             \
  X(Step)                       \
  X(ZeroGrad)                   \
  X(ListPrograms)               \
  X(DescribeProgram)            \
  X(UnloadProgram)              \
  X(SetVjp)                     \
  X(Run)                        \
  X(GetGraph)

class Service final : public RawService {
 public:
  // `access` and `door` outlive the service. `max_message_bytes`: what the listener takes in one
  // message. `door`: where shared memory is given out; nullptr: nowhere.
  Service(const Access& access, int64_t max_message_bytes, Door* door = nullptr)
      : access_(access), max_message_bytes_(max_message_bytes), door_(door) {}
  int64_t max_message_bytes() const { return max_message_bytes_; }

  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest* request,
                                          v1::GetServerInfoResponse* response) override;
  grpc::ServerUnaryReactor* OpenSession(grpc::CallbackServerContext* context,
                                        const v1::OpenSessionRequest* request,
                                        v1::OpenSessionResponse* response) override;
  grpc::ServerUnaryReactor* KeepAlive(grpc::CallbackServerContext* context,
                                      const v1::KeepAliveRequest* request,
                                      v1::KeepAliveResponse* response) override;
  grpc::ServerUnaryReactor* CloseSession(grpc::CallbackServerContext* context,
                                         const v1::CloseSessionRequest* request,
                                         v1::CloseSessionResponse* response) override;
  grpc::ServerUnaryReactor* AttachMemory(grpc::CallbackServerContext* context,
                                         const v1::AttachMemoryRequest* request,
                                         v1::AttachMemoryResponse* response) override;
  grpc::ServerReadReactor<grpc::ByteBuffer>* PutStream(grpc::CallbackServerContext* context,
                                                       grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* FetchStream(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* request) override;
  grpc::ServerReadReactor<v1::LoadProgramRequest>* LoadProgram(
      grpc::CallbackServerContext* context, v1::LoadProgramResponse* response) override;
  grpc::ServerBidiReactor<v1::PipelineRequest, v1::PipelineResponse>* Pipeline(
      grpc::CallbackServerContext* context) override;
  grpc::ServerWriteReactor<v1::FileChunk>* SaveSession(
      grpc::CallbackServerContext* context, const v1::SaveSessionRequest* request) override;
  grpc::ServerReadReactor<v1::RestoreSessionRequest>* RestoreSession(
      grpc::CallbackServerContext* context, v1::RestoreSessionResponse* response) override;

#define GRADWIRE_UNARY(Verb)                                                                     \
  grpc::ServerUnaryReactor* Verb(grpc::CallbackServerContext* context,                           \
                                 const v1::Verb##Request* request, v1::Verb##Response* response) \
      override;
  GRADWIRE_UNARY_VERBS(GRADWIRE_UNARY)
#undef GRADWIRE_UNARY

 private:
  const Access& access_;
  const int64_t max_message_bytes_;
  Door* const door_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_SERVICE_H_
