#include "rpc/call.h"

#include <chrono>
#include <utility>

namespace gradwire::rpc {
namespace {

using grpc::internal::RpcMethod;

// Calls of a method that wait at a queue; gRPC keeps what comes beyond them. Few: a gRPC that
// checks itself, as Debian's does, looks through all that wait at a queue for each event.
constexpr int kWaiting = 2;

RpcMethod::RpcType TypeOf(bool client_streams, bool server_streams) {
  if (client_streams) {
    return server_streams ? RpcMethod::BIDI_STREAMING : RpcMethod::CLIENT_STREAMING;
  }
  return server_streams ? RpcMethod::SERVER_STREAMING : RpcMethod::NORMAL_RPC;
}

// Of this thread: the queue that it serves, and calls that wait for it to be idle.
thread_local const grpc::CompletionQueue* served_queue = nullptr;
thread_local std::vector<Call*> awaiting_idle;
// Bytes of the last message that came to this thread or went from it.
thread_local size_t last_message = 0;

// What is there already.
grpc::CompletionQueue::NextStatus NextNow(grpc::CompletionQueue& queue, void** tag, bool* ok) {
  return queue.AsyncNext(tag, ok, gpr_inf_past(GPR_CLOCK_REALTIME));
}

// CallThreads::Pace::kPolls.
class PollingWait {
 public:
  explicit PollingWait(const std::function<bool()>& may_poll) : may_poll_(may_poll) {}

  bool operator()(grpc::CompletionQueue& queue, void** tag, bool* ok) {
    auto next = NextNow(queue, tag, ok);
    if (next != grpc::CompletionQueue::TIMEOUT) return next == grpc::CompletionQueue::GOT_EVENT;
    const Clock::time_point began = Clock::now();
    const bool polls = last_ < kShort && last_message <= kSmall;
    while (polls && next == grpc::CompletionQueue::TIMEOUT && Clock::now() - began < kShort &&
           may_poll_()) {
      next = NextNow(queue, tag, ok);
    }
    const bool more = next == grpc::CompletionQueue::TIMEOUT
                          ? queue.Next(tag, ok)
                          : next == grpc::CompletionQueue::GOT_EVENT;
    last_ = Clock::now() - began;
    return more;
  }

 private:
  using Clock = std::chrono::steady_clock;
  // What a client takes from one small call to the next, where it does nothing else.
  static constexpr std::chrono::microseconds kShort{200};
  // Larger messages come in pieces, and who looks for them all the time gets smaller ones.
  static constexpr size_t kSmall = size_t{64} << 10;

  const std::function<bool()>& may_poll_;
  Clock::duration last_ = Clock::duration::max();
};

// CallThreads::Pace::kSeldom.
bool NextSeldom(grpc::CompletionQueue& queue, void** tag, bool* ok) {
  constexpr auto kPause = std::chrono::milliseconds(10);
  while (true) {
    switch (NextNow(queue, tag, ok)) {
      case grpc::CompletionQueue::SHUTDOWN:
        return false;
      case grpc::CompletionQueue::GOT_EVENT:
        return true;
      case grpc::CompletionQueue::TIMEOUT:
        std::this_thread::sleep_for(kPause);
    }
  }
}

std::function<bool(grpc::CompletionQueue&, void**, bool*)> WaitOf(
    CallThreads::Pace pace, const std::function<bool()>& may_poll) {
  switch (pace) {
    case CallThreads::Pace::kSleeps:
      return &grpc::CompletionQueue::Next;
    case CallThreads::Pace::kPolls:
      return PollingWait(may_poll);
    default:
      return NextSeldom;
  }
}

}  // namespace

void Call::Read(grpc::ByteBuffer& message) {
  pending_.fetch_add(1, std::memory_order_relaxed);
  reading_ = &message;
  stream_.Read(&message, &read_);
}

void Call::Write(const grpc::ByteBuffer& message) {
  last_message = message.Length();
  pending_.fetch_add(1, std::memory_order_relaxed);
  stream_.Write(message, &written_);
}

void Call::WriteAhead(const grpc::ByteBuffer& message) {
  last_message = message.Length();
  pending_.fetch_add(1, std::memory_order_relaxed);
  stream_.Write(message, grpc::WriteOptions().set_buffer_hint(), &written_);
}

bool Call::InQueue() const { return served_queue == queue_; }

void Call::AwaitIdle() {
  pending_.fetch_add(1, std::memory_order_relaxed);
  awaiting_idle.push_back(this);
}

void Call::IsIdle() {
  OnIdle();
  Release();
}

void Call::Finish(const grpc::Status& status) {
  if (watch_) watch_->Finishes(status);
  stream_.Finish(status, &finished_);
}

void Call::FinishWith(const grpc::ByteBuffer& message) {
  last_message = message.Length();
  if (watch_) watch_->Finishes(grpc::Status::OK);
  stream_.WriteAndFinish(message, grpc::WriteOptions(), grpc::Status::OK, &finished_);
}

void Call::Came(bool ok) {
  if (!ok) {  // the server shuts down
    delete this;
    return;
  }
  service_->under_way_.fetch_add(1, std::memory_order_relaxed);
  service_->Wait(method_, *queue_);
  if (service_->watch_ != nullptr) {
    watch_.emplace(*service_->watch_, service_->methods_[method_].path, context_.client_metadata());
    if (request_.Valid()) watch_->Received();
  }
  last_message = request_.Length();
  OnCall(request_);
}

void Call::HasRead(bool ok) {
  if (ok && watch_) watch_->Received();
  if (ok) last_message = reading_->Length();
  OnRead(ok);
  Release();
}

void Call::HasWritten(bool ok) {
  OnWritten(ok);
  Release();
}

void Call::HasFinished(bool /*ok*/) { Release(); }

// Comes of every call, after its finish or when it is given up.
void Call::HasEnded(bool /*ok*/) {
  if (context_.IsCancelled()) {
    cancelled_.store(true, std::memory_order_relaxed);
    OnCancelled();
  }
  Release();
}

void Call::Release() {
  if (pending_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  std::atomic<int>& under_way = service_->under_way_;
  delete this;
  under_way.fetch_sub(1, std::memory_order_release);
}

void CallService::Add(std::string path, bool client_streams, bool server_streams, MakeCall make) {
  const Method& method = methods_.emplace_back(
      Method{std::move(path), TypeOf(client_streams, server_streams), std::move(make)});
  AddMethod(new grpc::internal::RpcServiceMethod(method.path.c_str(), method.type, nullptr));
  MarkMethodRaw(static_cast<int>(methods_.size()) - 1);
}

void CallService::Listen(grpc::ServerCompletionQueue& queue) {
  for (size_t method = 0; method < methods_.size(); ++method) {
    for (int i = 0; i < kWaiting; ++i) Wait(method, queue);
  }
}

// At the server's end, when nothing hurries.
void CallService::AwaitCalls() const {
  constexpr auto kPause = std::chrono::milliseconds(1);
  while (under_way_.load(std::memory_order_acquire) != 0) std::this_thread::sleep_for(kPause);
}

void CallService::Wait(size_t method, grpc::ServerCompletionQueue& queue) {
  Call& call = *methods_[method].make().release();  // deletes itself
  call.service_ = this;
  call.method_ = method;
  call.queue_ = &queue;
  call.context_.AsyncNotifyWhenDone(&call.ended_);
  const int index = static_cast<int>(method);
  switch (methods_[method].type) {
    case RpcMethod::NORMAL_RPC:
      return RequestAsyncUnary(index, &call.context_, &call.request_, &call.stream_, &queue, &queue,
                               &call.came_);
    case RpcMethod::SERVER_STREAMING:
      return RequestAsyncServerStreaming(index, &call.context_, &call.request_, &call.stream_,
                                         &queue, &queue, &call.came_);
    case RpcMethod::CLIENT_STREAMING:
      return RequestAsyncClientStreaming(index, &call.context_, &call.stream_, &queue, &queue,
                                         &call.came_);
    default:
      return RequestAsyncBidiStreaming(index, &call.context_, &call.stream_, &queue, &queue,
                                       &call.came_);
  }
}

CallThreads::CallThreads(grpc::ServerBuilder& builder, int count) {
  for (int i = 0; i < count; ++i) queues_.push_back(builder.AddCompletionQueue());
}

void CallThreads::Start(const std::vector<CallService*>& services, Pace pace,
                        std::function<bool()> may_poll) {
  services_ = services;
  may_poll_ = std::move(may_poll);
  for (const auto& queue : queues_) {
    for (CallService* service : services) service->Listen(*queue);
    threads_.emplace_back([this, &at = *queue, pace] { Serve(at, pace); });
  }
}

void CallThreads::Serve(grpc::CompletionQueue& queue, Pace pace) const {
  constexpr int kMostBeforeIdle = 32;
  served_queue = &queue;
  void* tag = nullptr;
  bool ok = false;
  const auto proceed = [&] {
    const auto* step = static_cast<Call::Step*>(tag);
    (step->call->*step->proceed)(ok);
  };
  const auto next = WaitOf(pace, may_poll_);
  while (next(queue, &tag, &ok)) {
    proceed();
    while (!awaiting_idle.empty()) {
      for (int i = 0; i < kMostBeforeIdle; ++i) {
        if (NextNow(queue, &tag, &ok) != grpc::CompletionQueue::GOT_EVENT) break;
        proceed();
      }
      for (Call* call : std::exchange(awaiting_idle, {})) call->IsIdle();
    }
  }
}

CallThreads::~CallThreads() {
  for (const CallService* service : services_) service->AwaitCalls();
  for (const auto& queue : queues_) queue->Shutdown();
  for (std::thread& thread : threads_) thread.join();
  if (!threads_.empty()) return;
  void* tag = nullptr;
  bool ok = false;
  for (const auto& queue : queues_) {
    while (queue->Next(&tag, &ok)) {
    }
  }
}

}  // namespace gradwire::rpc
