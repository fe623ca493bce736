// Transaction::Forward: nodes and programs, traced.

#include <fmt/format.h>

#include <functional>
#include <utility>

#include "core/error.h"
#include "session/session.h"
#include "session/transaction.h"

namespace gradwire {
namespace {

const std::string& BoundName(const std::map<std::string, std::string>& bindings,
                             const std::string& name) {
  const auto found = bindings.find(name);
  return found == bindings.end() ? name : found->second;
}

// The highest output that was given a name, plus one.
int CountOutputs(const NodeDef& node) {
  size_t count = node.outputs.size();
  while (count > 0 && node.outputs[count - 1].empty()) --count;
  return static_cast<int>(count);
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

}  // namespace

void Transaction::TraceNode(const NodeDef& node, Environment& environment,
                            const std::function<Value(const std::string&)>& look_outside) {
  if (node.refusal.has_value()) throw Error(*node.refusal);
  Values inputs;
  for (const std::string& name : node.inputs) {
    if (name.empty()) {
      inputs.emplace_back();
      continue;
    }
    const auto inside = environment.find(name);
    inputs.push_back(inside != environment.end() ? inside->second : look_outside(name));
  }
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  const Values outputs =
      Apply(*node.op, std::move(inputs), node.attributes, CountOutputs(node), node.label);
  for (size_t i = 0; i < node.outputs.size() && i < outputs.size(); ++i) {
    if (!node.outputs[i].empty()) environment[node.outputs[i]] = outputs[i];
  }
}

ProgramPtr Transaction::FindProgram(const std::string& name) const {
  ProgramPtr program;
  if (const auto fresh = programs_.find(name); fresh != programs_.end()) {
    program = fresh->second;
  } else if (const auto found = session_.programs_.find(name); found != session_.programs_.end()) {
    program = found->second;
  }
  if (program != nullptr) return program;
  throw Error(reason::kProgramNotFound, fmt::format("there is no program '{}'", name))
      .With("program", name);
}

void Transaction::TraceEach(const Program* program, const std::vector<NodeDef>& nodes,
                            const std::function<void(const NodeDef&)>& trace) {
  Origin& origin = Trace::Current().origin();
  for (const NodeDef& node : nodes) {
    origin.node = node.index;
    try {
      trace(node);
    } catch (Error& error) {
      Place(error, node);
      if (program != nullptr) error.Prefix(fmt::format("program '{}': ", program->name));
      throw;
    }
  }
  origin.node = -1;
}

void Transaction::CheckInputs(const Program& program, const Environment& feeds,
                              const std::map<std::string, std::string>& bindings) const {
  for (const ValueInfo& input : program.inputs) {
    const auto fed = feeds.find(input.name);
    const Value* value = fed != feeds.end() ? &fed->second : Find(BoundName(bindings, input.name));
    if (value != nullptr) CheckDeclared("input", input, value->spec());
  }
}

void Transaction::CheckOutputs(const Program& program, const Environment& made) {
  for (const ValueInfo& output : program.outputs) {
    const auto found = made.find(output.name);
    if (found != made.end()) CheckDeclared("output", output, found->second.spec());
  }
}

ForwardResult Transaction::Forward(ForwardArgs args) {
  const RecordingScope recording(trace_.recording() && !args.no_grad);
  const ProgramPtr program = args.program.empty() ? nullptr : FindProgram(args.program);
  const std::vector<NodeDef>& nodes = program ? program->nodes : args.nodes;
  Environment environment;
  for (auto& [name, tensor] : args.feeds) environment[name] = Value(std::move(tensor));
  const auto look_outside = [&](const std::string& name) -> Value {
    if (!program) return Look(name);
    const auto parameter = program->parameters.find(name);
    const bool own = parameter != program->parameters.end() && !args.bindings.contains(name);
    return Look(own ? parameter->second : BoundName(args.bindings, name));
  };
  if (program) CheckInputs(*program, environment, args.bindings);
  TraceEach(program.get(), nodes,
            [&](const NodeDef& node) { TraceNode(node, environment, look_outside); });
  if (program) CheckOutputs(*program, environment);
  const auto result_of = [&](const std::string& name) {
    const auto inside = environment.find(name);
    return inside != environment.end() ? inside->second : look_outside(name);
  };
  ForwardResult result;
  for (const std::string& name : args.fetch) {
    result.fetched.push_back(Target(name, result_of(name)));
  }
  for (const std::string& name : args.announce) Target(name, result_of(name));
  if (args.outputs.empty() && args.fetch.empty()) args.outputs = AllOutputs(nodes, program);
  for (const std::string& name : args.outputs) {
    const Value value = result_of(name);
    const std::string& bound = BoundName(args.bindings, name);
    Bind(bound, value);
    result.outputs.push_back(Info(bound, value));
  }
  return result;
}

}  // namespace gradwire
