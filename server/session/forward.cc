// Transaction::Forward: nodes and programs, traced.

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "core/error.h"
#include "session/session.h"
#include "session/trace_nodes.h"
#include "session/transaction.h"

namespace gradwire {
namespace {

const std::string& BoundName(const std::map<std::string, std::string>& bindings,
                             const std::string& name) {
  const auto found = bindings.find(name);
  return found == bindings.end() ? name : found->second;
}

// What Forward binds when it is not told.
std::vector<std::string> AllOutputs(const std::vector<NodeDef>& nodes, const ProgramPtr& program) {
  std::vector<std::string> names;
  if (program) {
    for (const ValueInfo& output : program->outputs) names.push_back(output.name);
    return names;
  }
  for (const NodeDef& node : nodes) {
    for (const std::string& name : node.outputs) {
      if (!name.empty()) names.push_back(name);
    }
  }
  return names;
}

// What the request returns, or soon will.
std::vector<std::string> Fetched(const ForwardArgs& args) {
  std::vector<std::string> names = args.fetch;
  names.insert(names.end(), args.announce.begin(), args.announce.end());
  return names;
}

}  // namespace

ProgramPtr Transaction::FindProgram(const std::string& name) const {
  ProgramPtr program;
  if (const auto fresh = programs_.find(name); fresh != programs_.end()) {
    program = fresh->second;
  } else if (const auto found = session_.programs_.find(name); found != session_.programs_.end()) {
    program = found->second;
  }
  if (program != nullptr) {
    if (recorder_ != nullptr) recorder_->Saw(name, program);
    return program;
  }
  throw Error(reason::kProgramNotFound, fmt::format("there is no program '{}'", name))
      .With("program", name);
}

void Transaction::CheckInputs(const Program& program, const Environment& feeds,
                              const std::map<std::string, std::string>& bindings) const {
  for (const ValueInfo& input : program.inputs) {
    const auto fed = feeds.find(input.name);
    const Item* item =
        fed != feeds.end() ? &fed->second : FindItem(BoundName(bindings, input.name));
    if (item != nullptr) CheckDeclared("input", input, *item);
  }
}

ForwardResult Transaction::Forward(ForwardArgs args) {
  if (args.checkpoint < 0) {
    throw Error(reason::kInvalidArgument,
                fmt::format("checkpoint is {}, must not be negative", args.checkpoint));
  }
  const RecordingScope recording(trace_.recording() && !args.no_grad);
  trace_.set_detects_anomalies(args.detect_anomaly);
  const ProgramPtr program = args.program.empty() ? nullptr : FindProgram(args.program);
  const NodesPtr nodes = program ? NodesPtr(program, &program->nodes)
                                 : std::make_shared<std::vector<NodeDef>>(std::move(args.nodes));
  if (args.outputs.empty() && args.fetch.empty()) args.outputs = AllOutputs(*nodes, program);
  Environment environment;
  for (auto& [name, tensor] : args.feeds) environment[name] = Value(std::move(tensor));
  for (auto& [name, item] : args.item_feeds) environment[name] = std::move(item);
  const auto look_in_session = [&](const std::string& name) -> Item { return LookItem(name); };
  const auto look_outside = [&](const std::string& name) -> Item {
    if (!program) return LookItem(name);
    const auto parameter = program->parameters.find(name);
    const bool own = parameter != program->parameters.end() && !args.bindings.contains(name);
    return LookItem(own ? parameter->second : BoundName(args.bindings, name));
  };
  if (program) CheckInputs(*program, environment, args.bindings);
  try {
    if (program && program->vjp) {
      TraceProgram(program, environment, look_outside, look_in_session);
    } else if (args.checkpoint > 0 && trace_.recording()) {
      TraceCheckpointed(nodes, static_cast<size_t>(args.checkpoint), args.outputs, Fetched(args),
                        environment, look_outside);
    } else {
      TraceNodes(*nodes, environment, look_outside);
    }
  } catch (Error& error) {
    if (program) error.Prefix(fmt::format("program '{}': ", program->name));
    throw;
  }
  if (program) CheckOutputs(*program, environment);
  const auto result_of = [&](const std::string& name) {
    return gradwire::Find(name, environment, look_outside);
  };
  ForwardResult result;
  for (const std::string& name : args.fetch) {
    result.fetched.emplace_back(name, result_of(name));
    Target(result.fetched.back().second);
  }
  for (const std::string& name : args.announce) Announce(result_of(name));
  for (const std::string& name : args.outputs) {
    const Item item = result_of(name);
    const std::string& bound = BoundName(args.bindings, name);
    Bind(bound, item);
    result.outputs.push_back(Info(bound, item));
  }
  return result;
}

}  // namespace gradwire
