// Whole calls of any method, streams included, through gRPC to a server in this process.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "exec/compute_pool.h"
#include "rpc/service.h"
#include "rpc/status.h"
#include "tests/fuzz/target.h"

namespace gradwire::fuzz {
namespace {

constexpr std::chrono::seconds kPatience(5);
const std::string kSession(32, '0');

std::vector<std::unique_ptr<Backend>> OneBackend() {
  std::vector<std::unique_ptr<Backend>> backends;
  backends.push_back(std::make_unique<CpuBackend>());
  return backends;
}

class InProcess {
 public:
  InProcess() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    threads_ = std::make_unique<rpc::CallThreads>(builder, 1);
    server_ = builder.BuildAndStart();
    threads_->Start({&service_});
    stub_ = std::make_unique<grpc::GenericStub>(grpc::CreateChannel(
        "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials()));
  }

  // Sends the messages, whatever they are, and reads what comes. The status.
  grpc::Status Call(const std::string& method, const std::vector<std::string>& messages) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    grpc::CompletionQueue queue;
    const auto done = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      queue.Next(&tag, &ok);
      return ok;
    };
    const auto call = stub_->PrepareCall(&context, "/gradwire.v1.Gradwire/" + method, &queue);
    call->StartCall(nullptr);
    bool open = done();
    for (size_t i = 0; open && i < messages.size(); ++i) {
      const grpc::Slice slice(messages[i]);
      call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
      open = done();
    }
    if (open) {
      call->WritesDone(nullptr);
      done();
    }
    grpc::ByteBuffer answer;
    do {
      call->Read(&answer, nullptr);
    } while (done());
    grpc::Status status;
    call->Finish(&status, nullptr);
    done();
    return status;
  }

  // Sends a message that is well-formed.
  void Must(const std::string& method, const google::protobuf::Message& message) {
    const grpc::Status status = Call(method, {message.SerializeAsString()});
    Expect(status.ok(), method + ": " + status.error_message());
  }

 private:
  ComputePool pool_{1};
  SessionStore store_{OneBackend(), pool_, {.max_session_bytes = 64 << 20, .max_tensors = 1000}};
  rpc::Metrics metrics_{store_};
  const rpc::Access access_{store_, metrics_, std::nullopt};
  const rpc::WatchOptions watch_{metrics_};
  rpc::Service service_{access_, 64 << 20, nullptr, &watch_};
  std::unique_ptr<rpc::CallThreads> threads_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

// The first byte says the method; then come messages, each after two bytes of its length. Those of
// the session 00..0 find one.
void Calls(std::string_view bytes) {
  static InProcess& server = *new InProcess;
  static const auto* methods = v1::RunRequest::descriptor()->file()->FindServiceByName("Gradwire");
  if (bytes.empty()) return;
  const auto byte = [&bytes](size_t i) {
    return static_cast<size_t>(static_cast<uint8_t>(bytes[i]));
  };
  const std::string method =
      methods->method(static_cast<int>(byte(0)) % methods->method_count())->name();
  bytes.remove_prefix(1);
  std::vector<std::string> messages;
  while (bytes.size() >= 2) {
    const size_t length = byte(0) | byte(1) << 8;
    messages.emplace_back(bytes.substr(2, length));
    bytes.remove_prefix(2 + messages.back().size());
  }
  v1::OpenSessionRequest open;
  open.set_session_id(kSession);
  server.Must("OpenSession", open);
  const grpc::Status status = server.Call(method, messages);
  Expect(rpc::ReasonOf(status) != "INTERNAL", method + ": " + status.error_message());
  v1::CloseSessionRequest close;
  close.set_session_id(kSession);
  server.Call("CloseSession", {close.SerializeAsString()});
}

const bool added = AddTarget("calls", Calls);

}  // namespace
}  // namespace gradwire::fuzz
