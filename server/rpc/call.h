// Calls on gRPC's completion queues. Messages are raw: payloads need not pass through Protocol
// Buffers, and what a message says is its handler's business.
#ifndef GRADWIRE_RPC_CALL_H_
#define GRADWIRE_RPC_CALL_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/async_stream.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "rpc/metrics.h"

namespace gradwire::rpc {

class CallService;

// One call, from when it is waited for to its end, when it deletes itself. The thread of its queue
// calls On..., one at a time. Read, Write and Finish are for any thread, in On... too: at most one
// read and one write may be under way. Each call that came must be finished, once, also when nobody
// waits for its end any more; after Finish, only the queue's thread may touch it.
class Call {
 public:
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const grpc::ServerContext& context() const { return context_; }
  // Whether the client gave up, is gone, or its deadline has passed. Thread-safe.
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 protected:
  Call() = default;

  // The call is here, and `request` with it where clients send exactly one message.
  virtual void OnCall(grpc::ByteBuffer& request) = 0;
  // The message is read; not `ok`: the client sends no more.
  virtual void OnRead(bool /*ok*/) {}
  // The message is on its way; not `ok`: nobody waits for it any more.
  virtual void OnWritten(bool /*ok*/) {}
  // Nobody waits for the end any more. It may have been on its way already.
  virtual void OnCancelled() {}
  // What AwaitIdle asked for.
  virtual void OnIdle() {}

  // `message` lives until OnRead.
  void Read(grpc::ByteBuffer& message);
  void Write(const grpc::ByteBuffer& message);
  // As Write, of a message that gRPC may keep until the next Write, which is to follow soon.
  void WriteAhead(const grpc::ByteBuffer& message);
  // Whether this is the thread of the call's queue.
  bool InQueue() const;
  // Has OnIdle called when all that is here by now, or much of it, has been seen to. For the thread
  // of the queue.
  void AwaitIdle();
  void Finish(const grpc::Status& status);
  // Ends a call that went well, with its last message or its only one.
  void FinishWith(const grpc::ByteBuffer& message);

 private:
  friend class CallService;
  friend class CallThreads;

  // What comes back from the queue.
  struct Step {
    Call* call;
    void (Call::*proceed)(bool ok);
  };

  void Came(bool ok);
  void HasRead(bool ok);
  void HasWritten(bool ok);
  void HasFinished(bool ok);
  void HasEnded(bool ok);
  void IsIdle();
  void Release();

  Step came_{this, &Call::Came};
  Step read_{this, &Call::HasRead};
  Step written_{this, &Call::HasWritten};
  Step finished_{this, &Call::HasFinished};
  Step ended_{this, &Call::HasEnded};
  CallService* service_ = nullptr;
  size_t method_ = 0;
  grpc::ServerCompletionQueue* queue_ = nullptr;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_{&context_};
  grpc::ByteBuffer request_;
  const grpc::ByteBuffer* reading_ = nullptr;
  std::optional<Watch> watch_;
  std::atomic<bool> cancelled_{false};
  std::atomic<int> pending_{2};  // steps that will come back: at first the finish and the end
};

// Methods by their paths, "/package.Service/Verb".
class CallService : public grpc::Service {
 public:
  // Waits at `queue` for calls of each method. REQUIRES: the server that this is registered with
  // has been started.
  void Listen(grpc::ServerCompletionQueue& queue);
  // Waits until all calls that came have ended.
  void AwaitCalls() const;

 protected:
  using MakeCall = std::function<std::unique_ptr<Call>()>;

  // With `watch`, calls are watched; it outlives them.
  explicit CallService(const WatchOptions* watch = nullptr) : watch_(watch) {}
  // For the constructor. `make` makes a call that has not come yet.
  void Add(std::string path, bool client_streams, bool server_streams, MakeCall make);

 private:
  friend class Call;

  struct Method {
    std::string path;
    grpc::internal::RpcMethod::RpcType type;
    MakeCall make;
  };

  // Waits for one call.
  void Wait(size_t method, grpc::ServerCompletionQueue& queue);

  const WatchOptions* const watch_;
  std::deque<Method> methods_;  // gRPC keeps the paths' addresses
  std::atomic<int> under_way_{0};
};

// Completion queues, each with a thread of its own. One of the threads waits for the network, and
// gRPC has it hand that on to another whenever something comes, which takes as long as a small
// call: a second thread is worth it where there are CPUs to spare.
class CallThreads {
 public:
  // Adds `count` queues to the server that `builder` will make.
  CallThreads(grpc::ServerBuilder& builder, int count);
  // Waits for the calls that are under way. REQUIRES: the server is shut down, and still there.
  ~CallThreads();
  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  // How a thread waits for what comes next.
  // kSleeps: until it is woken.
  // kPolls: the same, but where the last wait was a short one, it looks again and again for as long
  // before it sleeps, for a thread that has to be woken is as late as a small call takes. Not for
  // more threads than one, which would wake each other.
  // kSeldom: it looks every few milliseconds: beside other threads, from which it must not take the
  // waiting for the network.
  enum class Pace { kSleeps, kPolls, kSeldom };

  // Serves from now on. `may_poll` is asked, by kPolls, whether there is a CPU for that now.
  // REQUIRES: the server has been started, and all services are registered with it.
  void Start(const std::vector<CallService*>& services, Pace pace = Pace::kSleeps,
             std::function<bool()> may_poll = nullptr);

 private:
  void Serve(grpc::CompletionQueue& queue, Pace pace) const;

  std::vector<CallService*> services_;
  std::function<bool()> may_poll_;
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::vector<std::thread> threads_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_CALL_H_
