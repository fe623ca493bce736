// The peer of the benchmarks `rpc` and `transfer`: gRPC with as little as it allows around it. Raw
// messages, one thread at one completion queue, memory that is warm. Ends with SIGTERM.

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "memory.h"
#include "raw.grpc.pb.h"

// As of gradwire-server.
ABSL_FLAG(std::string, host, "127.0.0.1", "Address to listen on, or 'unix:PATH'.");
ABSL_FLAG(int, port, 0, "Port to listen on; 0 takes a free one.");
ABSL_FLAG(int, reply, 0, "Bytes of an answer to a message that is not empty.");

namespace gradwire::bench {
namespace {

using grpc::ByteBuffer;
using grpc::ServerContext;
using Service = Raw::WithRawMethod_Unary<
    Raw::WithRawMethod_Stream<Raw::WithRawMethod_Put<Raw::WithRawMethod_Fetch<Raw::Service>>>>;

// Calls of each kind that wait to be taken.
constexpr int kWaiting = 128;

struct Server {
  Service service;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  ByteBuffer reply;
  ByteBuffer nothing;
  Region region;

  const ByteBuffer& ReplyTo(const ByteBuffer& request) const {
    return request.Length() == 0 ? nothing : reply;
  }
};

ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

// A call waits to be taken, is served, and then waits again. What it starts on the queue has one of
// its steps as the tag.
class Call {
 public:
  struct Step {
    Call* call;
    void (Call::*proceed)(bool ok);
  };

  explicit Call(Server& server) : server_(server) {}
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 protected:
  template <class Derived>
  Step To(void (Derived::*proceed)(bool ok)) {
    return {this, static_cast<void (Call::*)(bool)>(proceed)};
  }

  Server& server_;
};

class UnaryCall final : public Call {
 public:
  explicit UnaryCall(Server& server) : Call(server) { Wait(); }

 private:
  void Wait() {
    responder_.reset();
    context_.emplace();
    responder_.emplace(&*context_);
    server_.service.RequestUnary(&*context_, &request_, &*responder_, server_.queue.get(),
                                 server_.queue.get(), &taken_);
  }
  void Taken(bool ok) {
    if (ok) responder_->Finish(server_.ReplyTo(request_), grpc::Status::OK, &done_);
  }
  void Done(bool) { Wait(); }

  Step taken_ = To(&UnaryCall::Taken);
  Step done_ = To(&UnaryCall::Done);
  std::optional<ServerContext> context_;
  std::optional<grpc::ServerAsyncResponseWriter<ByteBuffer>> responder_;
  ByteBuffer request_;
};

class StreamCall final : public Call {
 public:
  explicit StreamCall(Server& server) : Call(server) { Wait(); }

 private:
  void Wait() {
    stream_.reset();
    context_.emplace();
    stream_.emplace(&*context_);
    owed_ = 0;
    open_ = true;
    server_.service.RequestStream(&*context_, &*stream_, server_.queue.get(), server_.queue.get(),
                                  &taken_);
  }
  void Taken(bool ok) {
    if (ok) stream_->Read(&request_, &read_);
  }
  // Reading goes on while answers are written, one at a time.
  void Read(bool ok) {
    open_ = ok;
    if (ok) {
      if (owed_++ == 0) stream_->Write(server_.ReplyTo(request_), &wrote_);
      stream_->Read(&request_, &read_);
    } else if (owed_ == 0) {
      stream_->Finish(grpc::Status::OK, &done_);
    }
  }
  void Wrote(bool ok) {
    owed_ = ok ? owed_ - 1 : 0;
    if (owed_ != 0) {
      stream_->Write(server_.reply, &wrote_);
    } else if (!open_) {
      stream_->Finish(grpc::Status::OK, &done_);
    }
  }
  void Done(bool) { Wait(); }

  Step taken_ = To(&StreamCall::Taken);
  Step read_ = To(&StreamCall::Read);
  Step wrote_ = To(&StreamCall::Wrote);
  Step done_ = To(&StreamCall::Done);
  std::optional<ServerContext> context_;
  std::optional<grpc::ServerAsyncReaderWriter<ByteBuffer, ByteBuffer>> stream_;
  ByteBuffer request_;
  int owed_ = 0;
  bool open_ = true;
};

class PutCall final : public Call {
 public:
  explicit PutCall(Server& server) : Call(server) { Wait(); }

 private:
  void Wait() {
    reader_.reset();
    context_.emplace();
    reader_.emplace(&*context_);
    received_ = 0;
    server_.service.RequestPut(&*context_, &*reader_, server_.queue.get(), server_.queue.get(),
                               &taken_);
  }
  void Taken(bool ok) {
    if (ok) reader_->Read(&chunk_, &read_);
  }
  void Read(bool ok) {
    if (!ok) {
      reader_->Finish(server_.reply, grpc::Status::OK, &done_);
      return;
    }
    received_ = CopyOut(chunk_, 0, server_.region, received_);
    chunk_.Clear();
    reader_->Read(&chunk_, &read_);
  }
  void Done(bool) { Wait(); }

  Step taken_ = To(&PutCall::Taken);
  Step read_ = To(&PutCall::Read);
  Step done_ = To(&PutCall::Done);
  std::optional<ServerContext> context_;
  std::optional<grpc::ServerAsyncReader<ByteBuffer, ByteBuffer>> reader_;
  ByteBuffer chunk_;
  size_t received_ = 0;
};

class FetchCall final : public Call {
 public:
  explicit FetchCall(Server& server) : Call(server) { Wait(); }

 private:
  void Wait() {
    writer_.reset();
    context_.emplace();
    writer_.emplace(&*context_);
    sent_ = 0;
    server_.service.RequestFetch(&*context_, &request_, &*writer_, server_.queue.get(),
                                 server_.queue.get(), &taken_);
  }
  void Taken(bool ok) {
    if (!ok) return;
    grpc::Slice asked;
    request_.DumpToSingleSlice(&asked);
    std::memcpy(asked_, asked.begin(), std::min(sizeof(asked_), asked.size()));
    Wrote(true);
  }
  void Wrote(bool ok) {
    const size_t size = std::min<size_t>(asked_[1], asked_[0] - sent_);
    if (!ok || size == 0) {
      writer_->Finish(grpc::Status::OK, &done_);
      return;
    }
    const grpc::Slice slice(server_.region.data() + sent_, size, grpc::Slice::STATIC_SLICE);
    sent_ += size;
    writer_->Write(ByteBuffer(&slice, 1), &wrote_);
  }
  void Done(bool) { Wait(); }

  Step taken_ = To(&FetchCall::Taken);
  Step wrote_ = To(&FetchCall::Wrote);
  Step done_ = To(&FetchCall::Done);
  std::optional<ServerContext> context_;
  std::optional<grpc::ServerAsyncWriter<ByteBuffer>> writer_;
  ByteBuffer request_;
  uint64_t asked_[2] = {0, 0};
  size_t sent_ = 0;
};

// "HOST:PORT", or a UNIX socket as it is.
std::string Address(int port) {
  const std::string host = absl::GetFlag(FLAGS_host);
  return host.starts_with("unix:") ? host : host + ":" + std::to_string(port);
}

int Main() {
  KeepFreedMemory();
  Server server;
  server.reply = BufferOf(std::string(static_cast<size_t>(absl::GetFlag(FLAGS_reply)), 'x'));
  server.nothing = BufferOf("");
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(Address(absl::GetFlag(FLAGS_port)), grpc::InsecureServerCredentials(),
                           &port);
  builder.SetMaxReceiveMessageSize(-1);
  builder.SetMaxSendMessageSize(-1);
  builder.RegisterService(&server.service);
  server.queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> listening = builder.BuildAndStart();
  if (listening == nullptr || port == 0) return 1;
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < kWaiting; ++i) calls.push_back(std::make_unique<UnaryCall>(server));
  calls.push_back(std::make_unique<StreamCall>(server));
  calls.push_back(std::make_unique<PutCall>(server));
  calls.push_back(std::make_unique<FetchCall>(server));
  std::printf("listening on %s\n", Address(port).c_str());
  std::fflush(stdout);
  void* tag = nullptr;
  bool ok = false;
  while (server.queue->Next(&tag, &ok)) {
    const auto* step = static_cast<Call::Step*>(tag);
    (step->call->*step->proceed)(ok);
  }
  return 0;
}

}  // namespace
}  // namespace gradwire::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return gradwire::bench::Main();
}
