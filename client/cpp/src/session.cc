// The unary verbs.

#include "gradwire/client/session.h"

#include <chrono>
#include <random>

#include "connection.h"
#include "gradwire/client/commands.h"

namespace gradwire::client {
namespace {

// How long the end of a session's life may wait for the server.
constexpr std::chrono::seconds kLastWords{10};

template <class Request, class Response>
using Method = grpc::Status (v1::Gradwire::Stub::*)(grpc::ClientContext*, const Request&,
                                                    Response*);

// A call of a verb of `id`; the request is complete but for the session.
template <class Request, class Response>
Response Call(const Connection& connection, const std::string& id, Method<Request, Response> method,
              Request request) {
  request.set_session_id(id);
  Response response;
  connection.Try(id, [&](grpc::ClientContext& context) {
    return (connection.stub.get()->*method)(&context, request, &response);
  });
  return response;
}

// The same for a verb that changes the session.
template <class State, class Request, class Response>
Response Mutate(State& state, Method<Request, Response> method, Request request) {
  if (request.sequence() == 0) request.set_sequence(state.NextSequence());
  return Call(*state.connection, state.id, method, std::move(request));
}

// A call that nobody waits for.
template <class Request, class Response>
struct Started {
  grpc::ClientContext context;
  Request request;
  Response response;
};

using AsyncStub = class v1::Gradwire::Stub::async;

template <class Request, class Response>
using AsyncMethod = void (AsyncStub::*)(grpc::ClientContext*, const Request*, Response*,
                                        std::function<void(grpc::Status)>);

// `done(error, response)`.
template <class Request, class Response, class Done>
PendingCall StartCall(const std::shared_ptr<Connection>& connection, const std::string& id,
                      AsyncMethod<Request, Response> method, Request request, Done done) {
  auto call = std::make_shared<Started<Request, Response>>();
  call->request = std::move(request);
  call->request.set_session_id(id);
  connection->Prepare(call->context, id);
  (connection->stub->async()->*method)(
      &call->context, &call->request, &call->response,
      [connection, call, done = std::move(done)](const grpc::Status& status) {
        Report(status, [&](const Error* error) { done(error, std::move(call->response)); });
      });
  return PendingCall([call] { call->context.TryCancel(); });
}

}  // namespace

Session::State::State(std::shared_ptr<Connection> to, std::string name)
    : connection(std::move(to)),
      id(std::move(name)),
      sequence(uint64_t{std::random_device()()} << 16) {}

Session::Session(std::shared_ptr<Connection> connection, std::string id)
    : state_(std::make_unique<State>(std::move(connection), std::move(id))) {}

Session& Session::operator=(Session&& other) noexcept {
  if (this != &other) {
    const Session replaced(std::move(*this));
    state_ = std::move(other.state_);
  }
  return *this;
}

Session::~Session() {
  if (state_ == nullptr || !state_->open) return;
  grpc::ClientContext context;
  state_->connection->Prepare(context, state_->id);
  context.set_deadline(std::chrono::system_clock::now() + kLastWords);
  v1::CloseSessionRequest request;
  v1::CloseSessionResponse response;
  request.set_session_id(state_->id);
  // Nobody is left to hear of an error; the lease ends the session then.
  state_->connection->stub->CloseSession(&context, request, &response);
}

void Session::Close() {
  state_->open = false;
  Call(*state_->connection, state_->id, &v1::Gradwire::Stub::CloseSession,
       v1::CloseSessionRequest());
}

void Session::StartClose(std::function<void(const Error*)> done) {
  state_->open = false;
  StartCall(
      state_->connection, state_->id,
      AsyncMethod<v1::CloseSessionRequest, v1::CloseSessionResponse>(&AsyncStub::CloseSession),
      v1::CloseSessionRequest(),
      [done = std::move(done)](const Error* error, const v1::CloseSessionResponse&) {
        done(error);
      });
}

std::string Session::Release() {
  state_->open = false;
  return state_->id;
}

void Session::KeepAlive() {
  Call(*state_->connection, state_->id, &v1::Gradwire::Stub::KeepAlive, v1::KeepAliveRequest());
}

v1::DescribeSessionResponse Session::Describe() {
  return Call(*state_->connection, state_->id, &v1::Gradwire::Stub::DescribeSession,
              v1::DescribeSessionRequest());
}

std::string Session::Move(const std::string& device) {
  v1::MoveSessionRequest request;
  request.set_device(device);
  return Mutate(*state_, &v1::Gradwire::Stub::MoveSession, std::move(request)).device();
}

v1::PutResponse Session::Put(v1::PutRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::Put, std::move(request));
}

v1::FetchResponse Session::Fetch(v1::FetchRequest request) {
  return Call(*state_->connection, state_->id, &v1::Gradwire::Stub::Fetch, std::move(request));
}

v1::ForwardResponse Session::Forward(v1::ForwardRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::Forward, std::move(request));
}

v1::BackwardResponse Session::Backward(v1::BackwardRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::Backward, std::move(request));
}

v1::GradientsResponse Session::Gradients(v1::GradientsRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::Gradients, std::move(request));
}

v1::JvpResponse Session::Jvp(v1::JvpRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::Jvp, std::move(request));
}

v1::HvpResponse Session::Hvp(v1::HvpRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::Hvp, std::move(request));
}

v1::DetachResponse Session::Detach(v1::DetachRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::Detach, std::move(request));
}

v1::CopyResponse Session::Copy(v1::CopyRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::Copy, std::move(request));
}

v1::DeleteResponse Session::Delete(v1::DeleteRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::Delete, std::move(request));
}

v1::StepResponse Session::Step(v1::StepRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::Step, std::move(request));
}

v1::ZeroGradResponse Session::ZeroGrad(v1::ZeroGradRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::ZeroGrad, std::move(request));
}

std::vector<v1::TensorInfo> Session::ListTensors(const std::string& prefix) {
  v1::ListTensorsRequest request;
  request.set_prefix(prefix);
  const v1::ListTensorsResponse response =
      Call(*state_->connection, state_->id, &v1::Gradwire::Stub::ListTensors, std::move(request));
  return {response.tensors().begin(), response.tensors().end()};
}

v1::TensorInfo Session::DescribeTensor(const std::string& name) {
  v1::DescribeTensorRequest request;
  request.set_name(name);
  return Call(*state_->connection, state_->id, &v1::Gradwire::Stub::DescribeTensor,
              std::move(request))
      .tensor();
}

v1::GetGraphResponse Session::GetGraph(const std::string& name) {
  v1::GetGraphRequest request;
  request.set_name(name);
  return Call(*state_->connection, state_->id, &v1::Gradwire::Stub::GetGraph, std::move(request));
}

std::vector<v1::ProgramInfo> Session::ListPrograms() {
  const v1::ListProgramsResponse response =
      Call(*state_->connection, state_->id, &v1::Gradwire::Stub::ListPrograms,
           v1::ListProgramsRequest());
  return {response.programs().begin(), response.programs().end()};
}

void Session::UnloadProgram(const std::string& program) {
  v1::UnloadProgramRequest request;
  request.set_program(program);
  Mutate(*state_, &v1::Gradwire::Stub::UnloadProgram, std::move(request));
}

v1::DescribeProgramResponse Session::DescribeProgram(v1::DescribeProgramRequest request) {
  return Call(*state_->connection, state_->id, &v1::Gradwire::Stub::DescribeProgram,
              std::move(request));
}

v1::ProgramInfo Session::SetVjp(const std::string& program, const std::string& vjp) {
  v1::SetVjpRequest request;
  request.set_program(program);
  request.set_vjp(vjp);
  return Mutate(*state_, &v1::Gradwire::Stub::SetVjp, std::move(request)).program();
}

v1::RunResponse Session::Run(v1::RunRequest request) {
  return Mutate(*state_, &v1::Gradwire::Stub::Run, std::move(request));
}

PendingCall Session::Start(v1::Command command,
                           std::function<void(const Error*, v1::CommandResult)> done,
                           uint64_t sequence) {
  // Calls the verb of one kind of command.
  const auto start = [&]<class Request, class Response>(AsyncMethod<Request, Response> method,
                                                        Request& request,
                                                        Response* (v1::CommandResult::*slot)()) {
    if constexpr (requires { request.set_sequence(sequence); }) request.set_sequence(sequence);
    return StartCall(state_->connection, state_->id, method, std::move(request),
                     [done = std::move(done), slot](const Error* error, Response response) {
                       v1::CommandResult result;
                       *(result.*slot)() = std::move(response);
                       done(error, std::move(result));
                     });
  };
  using Result = v1::CommandResult;
  switch (command.command_case()) {
    case v1::Command::kPut:
      return start.operator()<v1::PutRequest, v1::PutResponse>(
          &AsyncStub::Put, *command.mutable_put(), &Result::mutable_put);
    case v1::Command::kFetch:
      return start.operator()<v1::FetchRequest, v1::FetchResponse>(
          &AsyncStub::Fetch, *command.mutable_fetch(), &Result::mutable_fetch);
    case v1::Command::kForward:
      return start.operator()<v1::ForwardRequest, v1::ForwardResponse>(
          &AsyncStub::Forward, *command.mutable_forward(), &Result::mutable_forward);
    case v1::Command::kBackward:
      return start.operator()<v1::BackwardRequest, v1::BackwardResponse>(
          &AsyncStub::Backward, *command.mutable_backward(), &Result::mutable_backward);
    case v1::Command::kGradients:
      return start.operator()<v1::GradientsRequest, v1::GradientsResponse>(
          &AsyncStub::Gradients, *command.mutable_gradients(), &Result::mutable_gradients);
    case v1::Command::kDetach:
      return start.operator()<v1::DetachRequest, v1::DetachResponse>(
          &AsyncStub::Detach, *command.mutable_detach(), &Result::mutable_detach);
    case v1::Command::kCopy:
      return start.operator()<v1::CopyRequest, v1::CopyResponse>(
          &AsyncStub::Copy, *command.mutable_copy(), &Result::mutable_copy);
    case v1::Command::kDelete:
      return start.operator()<v1::DeleteRequest, v1::DeleteResponse>(
          &AsyncStub::Delete, *command.mutable_delete_(), &Result::mutable_delete_);
    case v1::Command::kStep:
      return start.operator()<v1::StepRequest, v1::StepResponse>(
          &AsyncStub::Step, *command.mutable_step(), &Result::mutable_step);
    case v1::Command::kZeroGrad:
      return start.operator()<v1::ZeroGradRequest, v1::ZeroGradResponse>(
          &AsyncStub::ZeroGrad, *command.mutable_zero_grad(), &Result::mutable_zero_grad);
    case v1::Command::kJvp:
      return start.operator()<v1::JvpRequest, v1::JvpResponse>(
          &AsyncStub::Jvp, *command.mutable_jvp(), &Result::mutable_jvp);
    case v1::Command::kHvp:
      return start.operator()<v1::HvpRequest, v1::HvpResponse>(
          &AsyncStub::Hvp, *command.mutable_hvp(), &Result::mutable_hvp);
    case v1::Command::COMMAND_NOT_SET:
      break;
  }
  Throw(Reason::kInvalidArgument, "the command is empty");
}

PendingCall Session::Start(v1::RunRequest request,
                           std::function<void(const Error*, v1::RunResponse)> done) {
  return StartCall(state_->connection, state_->id,
                   AsyncMethod<v1::RunRequest, v1::RunResponse>(&AsyncStub::Run),
                   std::move(request), std::move(done));
}

}  // namespace gradwire::client
