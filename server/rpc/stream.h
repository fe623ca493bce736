// Calls that stream one way: what every upload and every download does alike.
#ifndef GRADWIRE_RPC_STREAM_H_
#define GRADWIRE_RPC_STREAM_H_

#include <memory>
#include <string>

#include "rpc/chunk.h"
#include "rpc/execute.h"

namespace gradwire::rpc {

// Takes in messages on gRPC's threads, then executes one command on the session's strand.
template <class Response>
class Upload : public Call {
 public:
  explicit Upload(const Access& access) : access_(access) {}

 protected:
  // Takes in one message, and says with Join whose it is. May throw.
  virtual void Receive(grpc::ByteBuffer& message) = 0;
  // The last message has come. Throws when what came is not whole.
  virtual void Complete() {}
  // Of all that came, for retries.
  virtual uint64_t Hash() const = 0;
  virtual void Execute(CommandScope& scope, Response& response) = 0;
  // Whether Execute is over before a worker would be awake. On the session's strand.
  virtual bool IsBrief() const { return false; }
  // Lets go of all that came. The call is about to end: its client may count on that memory.
  virtual void Clear() = 0;

  // Of the first message: finds the session. Of later ones: renews its lease, or says that it has
  // ended.
  void Join(const std::string& session_id, uint64_t sequence) {
    if (session_ == nullptr) {
      session_ = access_.Find(context(), session_id);
      sequence_ = sequence;
    } else {
      access_.Find(context(), session_->id());
    }
  }
  // nullptr before the first Join.
  Session* session() const { return session_.get(); }

 private:
  void OnCall(grpc::ByteBuffer&) final { Read(message_); }

  // That the client has said all is no different at first from that it is gone: of the latter, the
  // end of the call comes with it.
  void OnRead(bool ok) final {
    if (!ok) return AwaitIdle();
    const grpc::Status status = Guard([&] {
      access_.CheckMessage(context(), message_.Length());
      access_.metrics().Received(message_.Length());
      Receive(message_);
      message_.Clear();
    });
    status.ok() ? Read(message_) : GiveUp(status);
  }

  void OnIdle() final {
    const grpc::Status status = cancelled() ? grpc::Status::CANCELLED : Guard([this] { End(); });
    if (!status.ok()) GiveUp(status);
  }

  void GiveUp(const grpc::Status& status) {
    Clear();
    Finish(status);
  }

  void End() {
    if (session_ == nullptr) throw Error(reason::kInvalidArgument, "the stream held no chunk");
    Complete();
    access_.Find(context(), session_->id());
    clock_.emplace(access_.metrics());
    session_->Post([this] { Run(); }, 0, [this] { return IsBrief(); });
  }

  void Run() {
    clock_->Ends(Phase::kQueue);
    grpc::ByteBuffer answer;
    const grpc::Status status = Guard([&] {
      ExecuteOnce(*session_, *clock_, sequence_, sequence_ == 0 ? 0 : Hash(), nullptr, payloads_,
                  &response_, StopWithCall(*this, *session_),
                  [&](CommandScope& scope) { Execute(scope, response_); });
      answer = ToBuffer(response_);
    });
    session_->Renew();
    Clear();
    status.ok() ? FinishWith(answer) : Finish(status);
  }

  const Access& access_;
  grpc::ByteBuffer message_;
  Response response_;
  Payloads payloads_;  // none
  std::shared_ptr<Session> session_;
  uint64_t sequence_ = 0;
  std::optional<PhaseClock> clock_;
};

// Collects on the session's strand what is to be sent, then sends it from gRPC's threads, while
// later commands of the session may run: arrays do not change.
template <class Request>
class Download : public Call {
 public:
  explicit Download(const Access& access) : access_(access) {}

 protected:
  // The request has come: looks at it. May throw.
  virtual void Check() {}
  virtual void Collect(CommandScope& scope) = 0;
  // As of Upload.
  virtual bool IsBrief() const { return false; }
  // The next message; false when all is sent.
  virtual bool Next(grpc::ByteBuffer& message) = 0;

  const Request& request() const { return request_; }
  // After Check.
  const Session& session() const { return *session_; }

 private:
  void OnCall(grpc::ByteBuffer& message) final {
    const grpc::Status status = Guard([&] {
      FromBuffer(message, request_);
      Check();
      session_ = access_.Find(context(), request_.session_id());
      clock_.emplace(access_.metrics());
      session_->Post([this] { Start(); }, 0, [this] { return IsBrief(); });
    });
    if (!status.ok()) Finish(status);
  }

  void OnWritten(bool ok) final { ok ? WriteNext() : Finish(grpc::Status::CANCELLED); }

  void Start() {
    clock_->Ends(Phase::kQueue);
    const grpc::Status status = Guard([&] {
      CommandScope scope(*session_, payloads_, StopWithCall(*this, *session_));
      RunMeasured(scope, *clock_, [this](CommandScope& in) { Collect(in); });
    });
    status.ok() ? WriteNext() : Finish(status);
  }

  void WriteNext() {
    session_->Renew();
    grpc::ByteBuffer message;
    if (!Next(message)) return Finish(grpc::Status::OK);
    access_.metrics().Sent(message.Length());
    Write(message);
  }

  const Access& access_;
  Request request_;
  Payloads payloads_;  // none
  std::shared_ptr<Session> session_;
  std::optional<PhaseClock> clock_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_STREAM_H_
