// Transaction::DescribeProgram: the trace that Forward makes, over inputs that have no elements.

#include <fmt/format.h>

#include <exception>
#include <set>
#include <utility>

#include "core/error.h"
#include "session/gradient_node.h"
#include "session/session.h"
#include "session/transaction.h"

namespace gradwire {
namespace {

// A shape depends on the elements of an input.
struct DependsOnElements : std::exception {};

// Of an input: known by its spec only.
bool IsPlaceholder(const Value& value) {
  return value && !value.ready() && value.node() == nullptr;
}

// Computes what does not depend on placeholders.
class ConstantEvaluator : public Evaluator {
 public:
  explicit ConstantEvaluator(Evaluator& evaluator) : evaluator_(evaluator) {}

  void Poll() override { evaluator_.Poll(); }
  void Evaluate(std::span<const Value> values) override {
    std::vector<Value> pending(values.begin(), values.end());
    std::set<const Node*> seen;
    while (!pending.empty()) {
      const Value value = std::move(pending.back());
      pending.pop_back();
      if (IsPlaceholder(value)) throw DependsOnElements();
      if (!value || value.ready() || !seen.insert(value.node().get()).second) continue;
      const Values& inputs = value.node()->inputs();
      pending.insert(pending.end(), inputs.begin(), inputs.end());
    }
    evaluator_.Evaluate(values);
  }

 private:
  Evaluator& evaluator_;
};

// The spec of an input from what the caller says and the program declares; none where neither
// knows it all.
std::optional<TensorSpec> SpecOf(const ValueInfo& input, const DescribeArgs& args) {
  if (const auto given = args.inputs.find(input.name); given != args.inputs.end()) {
    return given->second;
  }
  const bool tensor = !input.sequence && !input.optional;
  if (!tensor || input.dtype == DType::kUndefined || !input.dims.has_value()) return std::nullopt;
  TensorSpec spec{input.dtype, {}};
  for (const ValueInfo::Dim& dim : *input.dims) {
    const auto named = args.dims.find(dim.name);
    if (!dim.extent.has_value() && named == args.dims.end()) return std::nullopt;
    spec.dims.push_back(dim.extent.has_value() ? *dim.extent : named->second);
  }
  return spec;
}

void CheckNames(const DescribeArgs& args, const Program& program) {
  std::set<std::string> inputs;
  std::set<std::string> dims;
  for (const ValueInfo& input : program.inputs) {
    inputs.insert(input.name);
    if (!input.dims.has_value()) continue;
    for (const ValueInfo::Dim& dim : *input.dims) dims.insert(dim.name);
  }
  for (const auto& [name, spec] : args.inputs) {
    if (!inputs.contains(name)) {
      throw Error(reason::kInvalidArgument, fmt::format("there is no input '{}'", name));
    }
  }
  for (const auto& [name, extent] : args.dims) {
    if (!name.empty() && dims.contains(name)) continue;
    throw Error(reason::kInvalidArgument, fmt::format("no input has a dimension '{}'", name));
  }
}

void InferNode(const NodeDef& node, Environment& environment, std::set<std::string>& unknown,
               const LookOutside& look_outside) {
  const auto traced = [&] {
    try {
      TraceNode(node, environment, look_outside);
      return true;
    } catch (const DependsOnElements&) {
      return false;
    }
  };
  bool known = true;
  ForEachNode({node}, [&](const NodeDef& inner) { known &= !inner.refusal.has_value(); });
  for (const std::string& name : ReadsOf(node)) known &= !unknown.contains(name);
  // What is between xs and y may be a node that cannot run here.
  if (node.gradient != nullptr) known &= !unknown.contains(node.gradient->y);
  if (known && traced()) return;
  for (const std::string& name : node.outputs) {
    if (!name.empty()) unknown.insert(name);
  }
}

}  // namespace

ProgramDescription Transaction::DescribeProgram(const DescribeArgs& args) {
  ProgramDescription description{FindProgram(args.program), {}};
  const Program& program = *description.program;
  CheckNames(args, program);
  ConstantEvaluator evaluator(executor_);
  uint64_t random_state = random_state_;
  Trace trace(*stream_, evaluator, random_state);
  const TraceScope scope(trace);
  const RecordingScope recording(false);

  Environment environment;
  std::set<std::string> unknown;
  const auto note = [&](const std::string& name) {
    const auto found = environment.find(name);
    description.values.push_back(found == environment.end() ? ValueInfo{.name = name}
                                                            : InfoOf(name, found->second));
  };
  for (const ValueInfo& input : program.inputs) {
    if (const std::optional<TensorSpec> spec = SpecOf(input, args)) {
      CheckDeclared("input", input, *spec);
      CheckSpec(*spec);
      auto slot = std::make_shared<Slot>();
      slot->spec = *spec;
      environment[input.name] = Value(std::move(slot), nullptr, 0);
    } else {
      unknown.insert(input.name);
    }
    note(input.name);
  }
  for (const auto& [name, parameter] : program.parameters) {
    environment[name] = LookItem(parameter);
    note(name);
  }
  TraceEach(&program, program.nodes, [&](const NodeDef& node) {
    InferNode(node, environment, unknown, [&](const std::string& name) { return LookItem(name); });
    for (const std::string& name : node.outputs) {
      if (!name.empty()) note(name);
    }
  });
  CheckOutputs(program, environment);
  return description;
}

}  // namespace gradwire
