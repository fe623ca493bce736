#include "rpc/command_names.h"

#include "rpc/node.h"

namespace gradwire::rpc {
namespace {

const std::string kGrad = "grad/";
const std::string kAllGrads = "grad/*";

template <class Field>
void AddAll(std::set<std::string>& to, const Field& names, const std::string& prefix = "") {
  for (const std::string& name : names) to.insert(prefix + name);
}

template <class Field>
void AddSeeds(std::set<std::string>& to, const Field& seeds) {
  for (const v1::Seed& seed : seeds) {
    if (!seed.tensor().empty()) to.insert(seed.tensor());
  }
}

void AddProgram(CommandNames& names, const v1::ForwardRequest& request, const Session& session) {
  const auto found = session.programs().find(request.program());
  if (found == session.programs().end()) return;
  const Program& program = *found->second;
  const auto bound = [&](const std::string& name) {
    const auto binding = request.bindings().find(name);
    return binding == request.bindings().end() ? name : binding->second;
  };
  for (const auto& input : program.inputs) names.reads.insert(bound(input.name));
  for (const Program* p = &program; p != nullptr; p = p->vjp.get()) {
    for (const auto& [initializer, name] : p->parameters) names.reads.insert(name);
  }
  if (!request.outputs().empty() || !request.fetch().empty()) return;
  for (const auto& output : program.outputs) names.writes.insert(bound(output.name));
}

void AddForward(CommandNames& names, const v1::ForwardRequest& request, const Session& session) {
  std::set<std::string> made;
  for (const auto& feed : request.feeds()) made.insert(feed.name());
  for (const auto& feed : request.sequence_feeds()) made.insert(feed.name());
  for (const auto& feed : request.optional_feeds()) made.insert(feed.name());
  const std::set<std::string> fed = made;
  for (const auto& node : request.nodes()) {
    for (const std::string& input : node.input()) {
      if (!input.empty() && !made.contains(input)) names.reads.insert(input);
    }
    for (const std::string& captured : CapturedNames(node)) {
      if (!made.contains(captured)) names.reads.insert(captured);
    }
    for (const std::string& output : node.output()) {
      made.insert(output);
      if (request.outputs().empty() && request.fetch().empty()) names.writes.insert(output);
    }
  }
  for (const std::string& name : request.outputs()) {
    const auto binding = request.bindings().find(name);
    names.writes.insert(binding == request.bindings().end() ? name : binding->second);
  }
  for (const std::string& name : request.fetch()) {
    if (!made.contains(name) && request.program().empty()) names.reads.insert(name);
  }
  if (!request.program().empty()) AddProgram(names, request, session);
  for (const std::string& name : fed) names.reads.erase(name);
}

void AddStep(CommandNames& names, const v1::StepRequest& request, const Session& session) {
  AddAll(names.reads, request.parameters());
  AddAll(names.writes, request.parameters());
  AddAll(names.reads, request.parameters(), kGrad);
  if (!request.parameters().empty()) return;
  names.reads.insert(kAllGrads);
  for (const auto& [name, value] : session.names()) {
    if (value.is_tensor() && value.tensor().leaf()) names.writes.insert(name);
  }
}

void AddBackward(CommandNames& names, const v1::BackwardRequest& request) {
  AddAll(names.reads, request.roots());
  AddAll(names.reads, request.inputs());
  AddAll(names.reads, request.retain_grad());
  AddSeeds(names.reads, request.seeds());
  AddAll(names.writes, request.inputs(), kGrad);
  AddAll(names.writes, request.retain_grad(), kGrad);
  if (request.inputs().empty()) names.writes.insert(kAllGrads);
}

void AddGradients(CommandNames& names, const v1::GradientsRequest& request) {
  AddAll(names.reads, request.outputs());
  AddAll(names.reads, request.inputs());
  AddSeeds(names.reads, request.seeds());
  if (request.names().empty()) {
    AddAll(names.writes, request.inputs(), kGrad);
  } else {
    AddAll(names.writes, request.names());
  }
}

template <class Field>
void AddTangents(CommandNames& names, const Field& tangents) {
  for (const v1::Tangent& tangent : tangents) {
    names.reads.insert(tangent.input());
    if (!tangent.tensor().empty()) names.reads.insert(tangent.tensor());
  }
}

// Where a Jvp or Hvp binds its products, one for each of `of`.
template <class Request, class Field>
void AddProducts(CommandNames& names, const Request& request, const Field& of,
                 const std::string& prefix) {
  AddAll(names.reads, of);
  AddAll(names.writes, request.names());
  if (request.names().empty() && !request.fetch()) AddAll(names.writes, of, prefix);
}

}  // namespace

CommandNames NamesOf(const v1::Command& command, const Session& session) {
  CommandNames names;
  switch (command.command_case()) {
    case v1::Command::kPut:
      for (const auto& tensor : command.put().tensors()) names.writes.insert(tensor.name());
      break;
    case v1::Command::kFetch:
      AddAll(names.reads, command.fetch().names());
      break;
    case v1::Command::kForward:
      AddForward(names, command.forward(), session);
      break;
    case v1::Command::kBackward:
      AddBackward(names, command.backward());
      break;
    case v1::Command::kGradients:
      AddGradients(names, command.gradients());
      break;
    case v1::Command::kJvp:
      AddTangents(names, command.jvp().tangents());
      AddProducts(names, command.jvp(), command.jvp().outputs(), "jvp/");
      break;
    case v1::Command::kHvp:
      names.reads.insert(command.hvp().output());
      AddTangents(names, command.hvp().vectors());
      AddProducts(names, command.hvp(), command.hvp().inputs(), "hvp/");
      break;
    case v1::Command::kDetach:
      names = {{command.detach().from()}, {command.detach().to()}};
      break;
    case v1::Command::kCopy:
      names = {{command.copy().from()}, {command.copy().to()}};
      break;
    case v1::Command::kDelete:
      AddAll(names.writes, command.delete_().names());
      break;
    case v1::Command::kStep:
      AddStep(names, command.step(), session);
      break;
    case v1::Command::kZeroGrad:
      AddAll(names.writes, command.zero_grad().parameters(), kGrad);
      if (command.zero_grad().parameters().empty()) names.writes.insert(kAllGrads);
      break;
    case v1::Command::COMMAND_NOT_SET:
      break;
  }
  return names;
}

}  // namespace gradwire::rpc
