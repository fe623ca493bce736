// Calls that stream one way: what every upload and every download does alike. Reactors delete
// themselves when their call has ended.
#ifndef GRADWIRE_RPC_STREAM_H_
#define GRADWIRE_RPC_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "rpc/execute.h"

namespace gradwire::rpc {

// Takes in messages on gRPC's threads, then executes one command on the session's strand.
template <class Message, class Response>
class Upload : public grpc::ServerReadReactor<Message> {
 public:
  // `response` lives as long as the call.
  Upload(const Access& access, grpc::CallbackServerContext* context, Response* response)
      : access_(access), context_(context), response_(response) {
    this->StartRead(&message_);
  }

  void OnReadDone(bool ok) final {
    const grpc::Status status = Guard([&] {
      if (ok) {
        access_.CheckMessage(*context_, Bytes(message_));
        access_.metrics().Received(Bytes(message_));
        Receive(message_);
      } else {
        End();
      }
    });
    if (!status.ok()) {
      EndWith(status);
    } else if (ok) {
      this->StartRead(&message_);
    }
  }
  void OnDone() final { delete this; }

 protected:
  // Takes in one message, and says with Join whose it is. May throw.
  virtual void Receive(Message& message) = 0;
  // The last message has come. Throws when what came is not whole.
  virtual void Complete() {}
  // Of all that came, for retries.
  virtual uint64_t Hash() const = 0;
  virtual void Execute(CommandScope& scope, Response& response) = 0;
  // After the command, also when it had been executed before.
  virtual void Answer() {}
  // Lets go of all that came. The call is about to end: its client may count on that memory.
  virtual void Clear() = 0;

  // Of the first message: finds the session. Of later ones: renews its lease, or says that it has
  // ended.
  void Join(const std::string& session_id, uint64_t sequence) {
    if (session_ == nullptr) {
      session_ = access_.Find(*context_, session_id);
      sequence_ = sequence;
    } else {
      access_.Find(*context_, session_->id());
    }
  }
  // nullptr before the first Join.
  Session* session() const { return session_.get(); }

 private:
  // Nothing may follow it: what it queues ends the call.
  void End() {
    if (session_ == nullptr) throw Error(reason::kInvalidArgument, "the stream held no chunk");
    Complete();
    access_.Find(*context_, session_->id());
    PhaseClock clock(access_.metrics());
    session_->Post([this, clock]() mutable {
      clock.Ends(Phase::kQueue);
      Run(clock);
    });
  }

  void Run(const PhaseClock& clock) {
    const grpc::Status status = Guard([&] {
      ExecuteOnce(*session_, clock, sequence_, sequence_ == 0 ? 0 : Hash(), nullptr, response_,
                  StopWithCall(*context_, *session_),
                  [&](CommandScope& scope) { Execute(scope, *response_); });
      Answer();
    });
    session_->Renew();
    EndWith(status);
  }

  void EndWith(const grpc::Status& status) {
    Clear();
    this->Finish(status);
  }

  const Access& access_;
  grpc::CallbackServerContext* const context_;
  Response* const response_;
  Message message_;
  std::shared_ptr<Session> session_;
  uint64_t sequence_ = 0;
};

// Collects on the session's strand what is to be sent, then sends it from gRPC's threads, while
// later commands of the session may run: arrays do not change.
template <class Message>
class Download : public grpc::ServerWriteReactor<Message> {
 public:
  Download(const Access& access, grpc::CallbackServerContext* context)
      : access_(access), context_(context) {}

  void OnWriteDone(bool ok) final { ok ? WriteNext() : this->Finish(grpc::Status::CANCELLED); }
  void OnDone() final { delete this; }

 protected:
  virtual void Collect(CommandScope& scope) = 0;
  // The next message; false when all is sent.
  virtual bool Next(Message& message) = 0;

  // For the constructor. `session_id` may throw.
  void Open(const std::function<std::string()>& session_id) {
    const grpc::Status status = Guard([&] {
      session_ = access_.Find(*context_, session_id());
      PhaseClock clock(access_.metrics());
      session_->Post([this, clock]() mutable {
        clock.Ends(Phase::kQueue);
        Start(clock);
      });
    });
    if (!status.ok()) this->Finish(status);
  }

 private:
  void Start(PhaseClock& clock) {
    const grpc::Status status = Guard([&] {
      CommandScope scope(*session_, StopWithCall(*context_, *session_));
      RunMeasured(scope, clock, [this](CommandScope& in) { Collect(in); });
    });
    status.ok() ? WriteNext() : this->Finish(status);
  }

  void WriteNext() {
    session_->Renew();
    if (!Next(message_)) {
      this->Finish(grpc::Status::OK);
      return;
    }
    access_.metrics().Sent(Bytes(message_));
    this->StartWrite(&message_);
  }

  const Access& access_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<Session> session_;
  Message message_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_STREAM_H_
