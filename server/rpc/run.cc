// Step, whose message carries one of several optimizers, and Run, which dispatches to all.

#include <fmt/format.h>

#include <string>

#include "core/error.h"
#include "rpc/commands.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

Optimizer DecodeOptimizer(const v1::StepRequest& request) {
  switch (request.optimizer_case()) {
    case v1::StepRequest::kSgd:
      return Sgd{request.sgd().lr(), request.sgd().weight_decay()};
    case v1::StepRequest::kMomentum: {
      const v1::Momentum& m = request.momentum();
      return Momentum{m.lr(), m.momentum(), m.dampening(), m.weight_decay(), m.nesterov()};
    }
    case v1::StepRequest::kAdam: {
      const v1::Adam& a = request.adam();
      Adam adam{.lr = a.lr(), .weight_decay = a.weight_decay()};
      if (a.has_beta1()) adam.beta1 = a.beta1();
      if (a.has_beta2()) adam.beta2 = a.beta2();
      if (a.has_epsilon()) adam.epsilon = a.epsilon();
      return adam;
    }
    case v1::StepRequest::kAdamw: {
      const v1::AdamW& a = request.adamw();
      AdamW adamw{.lr = a.lr()};
      if (a.has_beta1()) adamw.beta1 = a.beta1();
      if (a.has_beta2()) adamw.beta2 = a.beta2();
      if (a.has_epsilon()) adamw.epsilon = a.epsilon();
      if (a.has_weight_decay()) adamw.weight_decay = a.weight_decay();
      return adamw;
    }
    case v1::StepRequest::kAdagrad: {
      const v1::Adagrad& a = request.adagrad();
      Adagrad adagrad{.lr = a.lr(), .lr_decay = a.lr_decay(), .weight_decay = a.weight_decay()};
      if (a.has_epsilon()) adagrad.epsilon = a.epsilon();
      return adagrad;
    }
    case v1::StepRequest::OPTIMIZER_NOT_SET:
      break;
  }
  throw Error(reason::kInvalidArgument, "no optimizer is given");
}

// Calls a verb on a command inside another, whose session and sequence it has.
template <class Request, class Response>
void Inner(void (*verb)(CommandScope&, const Request&, Response*), CommandScope& scope,
           const Request& request, Response* response) {
  if constexpr (requires { request.sequence(); }) {
    if (request.sequence() != 0) {
      throw Error(reason::kInvalidArgument, "a command inside another carries no sequence");
    }
  }
  if (!request.session_id().empty()) {
    throw Error(reason::kInvalidArgument, "a command inside another carries no session_id");
  }
  verb(scope, request, response);
}

}  // namespace

void Step(CommandScope& scope, const v1::StepRequest& request, v1::StepResponse* response) {
  if (request.profile()) scope.AnswerProfile(response->mutable_profile());
  response->set_stepped(
      scope.transaction.Step({Strings(request.parameters()), DecodeOptimizer(request),
                              request.clip_value(), request.clip_norm(), request.zero_grad()}));
}

void Dispatch(CommandScope& scope, const v1::Command& command, v1::CommandResult* result) {
  switch (command.command_case()) {
    case v1::Command::kPut:
      return Inner(Put, scope, command.put(), result->mutable_put());
    case v1::Command::kFetch:
      return Inner(Fetch, scope, command.fetch(), result->mutable_fetch());
    case v1::Command::kForward:
      return Inner(Forward, scope, command.forward(), result->mutable_forward());
    case v1::Command::kBackward:
      return Inner(Backward, scope, command.backward(), result->mutable_backward());
    case v1::Command::kGradients:
      return Inner(Gradients, scope, command.gradients(), result->mutable_gradients());
    case v1::Command::kJvp:
      return Inner(Jvp, scope, command.jvp(), result->mutable_jvp());
    case v1::Command::kHvp:
      return Inner(Hvp, scope, command.hvp(), result->mutable_hvp());
    case v1::Command::kDetach:
      return Inner(Detach, scope, command.detach(), result->mutable_detach());
    case v1::Command::kCopy:
      return Inner(Copy, scope, command.copy(), result->mutable_copy());
    case v1::Command::kDelete:
      return Inner(Delete, scope, command.delete_(), result->mutable_delete_());
    case v1::Command::kStep:
      return Inner(Step, scope, command.step(), result->mutable_step());
    case v1::Command::kZeroGrad:
      return Inner(ZeroGrad, scope, command.zero_grad(), result->mutable_zero_grad());
    case v1::Command::COMMAND_NOT_SET:
      throw Error(reason::kInvalidArgument, "the command is empty");
  }
}

std::string CommandName(const v1::Command& command) {
  const auto* field =
      v1::Command::descriptor()->FindFieldByNumber(static_cast<int>(command.command_case()));
  return field != nullptr ? field->name() : "empty";
}

void Run(CommandScope& scope, const v1::RunRequest& request, v1::RunResponse* response) {
  if (request.profile()) scope.AnswerProfile(response->mutable_profile());
  for (int i = 0; i < request.commands_size(); ++i) {
    scope.transaction.SetCommand(i);
    try {
      Dispatch(scope, request.commands(i), response->add_results());
    } catch (Error& error) {
      error.Prefix(fmt::format("command {} ({}): ", i, CommandName(request.commands(i))));
      error.With("command", std::to_string(i));
      throw;
    }
  }
}

}  // namespace gradwire::rpc
