// The methods by their names, and calls that take one message and give one.

#include <functional>
#include <string>
#include <utility>

#include "rpc/chunk.h"
#include "rpc/commands.h"
#include "rpc/execute.h"
#include "rpc/service.h"
#include "rpc/status.h"

namespace gradwire::rpc {
namespace {

// A call that needs no session's strand: it is answered at once.
template <class Request, class Response>
class AnswerCall final : public Call {
 public:
  using Verb = void (Service::*)(const Call&, const Request&, Response*);

  AnswerCall(Service& service, Verb verb) : service_(service), verb_(verb) {}

 private:
  void OnCall(grpc::ByteBuffer& message) override {
    grpc::ByteBuffer answer;
    const grpc::Status status = Guard([&] {
      Request request;
      Response response;
      FromBuffer(message, request);
      std::invoke(verb_, service_, *this, request, &response);
      answer = ToBuffer(response);
    });
    status.ok() ? FinishWith(answer) : Finish(status);
  }

  Service& service_;
  const Verb verb_;
};

}  // namespace

Service::Service(const Access& access, int64_t max_message_bytes, Door* door,
                 const WatchOptions* watch)
    : CallService(watch), access_(access), max_message_bytes_(max_message_bytes), door_(door) {
  AddAnswers();
  AddCommands();
  AddVerb("PutStream", [this] { return PutStream(); });
  AddVerb("FetchStream", [this] { return FetchStream(); });
  AddVerb("LoadProgram", [this] { return LoadProgram(); });
  AddVerb("Pipeline", [this] { return Pipeline(); });
  AddVerb("SaveSession", [this] { return SaveSession(); });
  AddVerb("RestoreSession", [this] { return RestoreSession(); });
}

void Service::AddVerb(const char* verb, MakeCall make) {
  const auto* service = v1::RunRequest::descriptor()->file()->FindServiceByName("Gradwire");
  const auto& method = *service->FindMethodByName(verb);
  Add("/" + service->full_name() + "/" + verb, method.client_streaming(), method.server_streaming(),
      std::move(make));
}

void Service::AddAnswers() {
#define GRADWIRE_ANSWER(Verb)                                                                   \
  AddVerb(#Verb, [this] {                                                                       \
    return std::make_unique<AnswerCall<v1::Verb##Request, v1::Verb##Response>>(*this,           \
                                                                               &Service::Verb); \
  })
  GRADWIRE_ANSWER(GetServerInfo);
  GRADWIRE_ANSWER(OpenSession);
  GRADWIRE_ANSWER(KeepAlive);
  GRADWIRE_ANSWER(CloseSession);
  GRADWIRE_ANSWER(AttachMemory);
#undef GRADWIRE_ANSWER
}

void Service::AddCommands() {
#define GRADWIRE_COMMAND(Verb)                                                              \
  AddVerb(#Verb, [this] {                                                                   \
    return std::make_unique<CommandCall<v1::Verb##Request, v1::Verb##Response>>(access_,    \
                                                                                rpc::Verb); \
  })
  GRADWIRE_COMMAND(DescribeSession);
  GRADWIRE_COMMAND(Put);
  GRADWIRE_COMMAND(Fetch);
  GRADWIRE_COMMAND(PutShared);
  GRADWIRE_COMMAND(FetchShared);
  GRADWIRE_COMMAND(Forward);
  GRADWIRE_COMMAND(Backward);
  GRADWIRE_COMMAND(Gradients);
  GRADWIRE_COMMAND(Jvp);
  GRADWIRE_COMMAND(Hvp);
  GRADWIRE_COMMAND(Detach);
  GRADWIRE_COMMAND(Copy);
  GRADWIRE_COMMAND(Delete);
  GRADWIRE_COMMAND(ListTensors);
  GRADWIRE_COMMAND(DescribeTensor);
  GRADWIRE_COMMAND(Step);
  GRADWIRE_COMMAND(ZeroGrad);
  GRADWIRE_COMMAND(ListPrograms);
  GRADWIRE_COMMAND(DescribeProgram);
  GRADWIRE_COMMAND(UnloadProgram);
  GRADWIRE_COMMAND(SetVjp);
  GRADWIRE_COMMAND(Run);
  GRADWIRE_COMMAND(GetGraph);
#undef GRADWIRE_COMMAND
  AddVerb("MoveSession", [this] {
    return std::make_unique<CommandCall<v1::MoveSessionRequest, v1::MoveSessionResponse>>(
        access_,
        [this](CommandScope& scope, const v1::MoveSessionRequest& request,
               v1::MoveSessionResponse* response) { MoveSession(scope, request, response); });
  });
}

}  // namespace gradwire::rpc
