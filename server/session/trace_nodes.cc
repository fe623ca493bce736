#include "session/trace_nodes.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "autograd/checkpoint.h"
#include "core/error.h"
#include "graph/anomaly.h"
#include "graph/structured.h"
#include "graph/trace.h"
#include "session/gradient_node.h"
#include "session/graph_body.h"

namespace gradwire {
namespace {

// The highest output that was given a name, plus one.
int CountOutputs(const NodeDef& node) {
  size_t count = node.outputs.size();
  while (count > 0 && node.outputs[count - 1].empty()) --count;
  return static_cast<int>(count);
}

void WatchOutputs(const NodeDef& node, const Values& inputs, const Values& outputs) {
  std::vector<TensorSpec> specs;
  for (const Value& output : outputs) specs.push_back(output ? output.spec() : TensorSpec());
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i]) continue;
    Error error(reason::kNonFinite,
                fmt::format("{}: output {}", Signature(node.op_type, inputs, specs), i));
    Place(error, node);
    const int command = Trace::Current().origin().command;
    if (command >= 0) {
      error.Prefix(fmt::format("command {}: ", command)).With("command", std::to_string(command));
    }
    WatchFor(outputs[i], error, inputs);
  }
}

// Nodes that are computed again together, and the names through which others see them.
struct Span {
  NodesPtr nodes;
  size_t begin = 0;
  size_t end = 0;
  std::vector<std::string> reads;
  std::vector<std::string> makes;
  // What `reads` and `makes` stand for; the latter is known once the span was traced.
  std::shared_ptr<const ItemLayout> given = nullptr;
  std::shared_ptr<std::optional<ItemLayout>> made = std::make_shared<std::optional<ItemLayout>>();

  Values operator()(const Values& inputs) const {
    const auto nowhere = [](const std::string& name) -> Item {
      throw Error(reason::kTensorNotFound, fmt::format("there is no tensor '{}'", name))
          .With("tensor", name);
    };
    Environment environment;
    Items items = given->Assemble(inputs);
    for (size_t i = 0; i < reads.size(); ++i) environment[reads[i]] = std::move(items[i]);
    TraceNodes(std::span(*nodes).subspan(begin, end - begin), environment, nowhere);
    Items results;
    for (const std::string& name : makes) results.push_back(Find(name, environment, nowhere));
    made->emplace(results);
    return TensorsOf(results);
  }
};

// Traces a call whose row is a rule of the trace, or that has graphs among its attributes.
Items TraceStructured(const NodeDef& node, Items inputs, const Environment& environment,
                      const LookOutside& look_outside) {
  StructuredCall::Bodies bodies;
  for (const auto& [name, graph] : node.graphs) {
    bodies[name] = std::make_unique<GraphBody>(*graph, environment, look_outside);
  }
  return ApplyStructured({*node.op,
                          std::move(inputs),
                          node.attributes,
                          CountOutputs(node),
                          std::move(bodies),
                          {node.types.begin(), node.types.end()}});
}

// Traces a call of tensors.
Items TracePlain(const NodeDef& node, const Items& inputs, const Environment& environment,
                 const LookOutside& look_outside) {
  for (const auto& [name, graph] : node.graphs) CheckAttribute(*node.op, name);
  for (const auto& [name, type] : node.types) CheckAttribute(*node.op, name);
  Values values;
  for (size_t i = 0; i < inputs.size(); ++i) {
    try {
      values.push_back(inputs[i].tensor());
    } catch (Error& error) {
      error.Prefix(fmt::format("input {}: ", i));
      throw;
    }
  }
  const bool watched = Trace::Current().detects_anomalies();
  const Values made_from = watched ? values : Values();
  const Values outputs =
      node.gradient != nullptr
          ? TraceGradient(node, values, environment, look_outside)
          : Apply(*node.op, std::move(values), node.attributes, CountOutputs(node));
  if (watched) WatchOutputs(node, made_from, outputs);
  return {outputs.begin(), outputs.end()};
}

// `last_reader`: after the nodes of the span, who reads a name is at or behind the span's end.
Span SpanOf(const NodesPtr& nodes, size_t begin, size_t end,
            const std::map<std::string, size_t>& last_reader) {
  Span span{nodes, begin, end};
  std::set<std::string> made, read;
  for (size_t i = begin; i < end; ++i) {
    for (const std::string& name : ReadsOf((*nodes)[i])) {
      if (!name.empty() && !made.contains(name) && read.insert(name).second) {
        span.reads.push_back(name);
      }
    }
    for (const std::string& name : (*nodes)[i].outputs) {
      const auto reader = last_reader.find(name);
      const bool seen_outside = reader != last_reader.end() && reader->second >= end;
      if (made.insert(name).second && seen_outside) span.makes.push_back(name);
    }
  }
  return span;
}

// Where spans end, in order; the last is the number of nodes.
std::set<size_t> SpanEnds(const std::vector<NodeDef>& nodes, size_t spans,
                          const std::vector<std::string>& bound) {
  const std::set<std::string> names(bound.begin(), bound.end());
  std::set<size_t> ends;
  for (size_t s = 1; s <= spans; ++s) ends.insert(s * nodes.size() / spans);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const auto& made = nodes[i].outputs;
    if (std::any_of(made.begin(), made.end(), [&](auto& name) { return names.contains(name); })) {
      ends.insert(i + 1);
    }
  }
  return ends;
}

}  // namespace

std::string GradName(const std::string& name) { return "grad/" + name; }

Item Find(const std::string& name, const Environment& environment,
          const LookOutside& look_outside) {
  const auto inside = environment.find(name);
  return inside != environment.end() ? inside->second : look_outside(name);
}

const Value& TensorOf(const std::string& name, const Item& item) {
  if (item.is_tensor()) return item.tensor();
  throw Error(reason::kInvalidArgument,
              fmt::format("'{}' is {}, not a tensor", name, ToString(item)))
      .With("tensor", name);
}

std::vector<std::string> ReadsOf(const NodeDef& node) {
  std::vector<std::string> names = node.inputs;
  names.insert(names.end(), node.captures.begin(), node.captures.end());
  if (node.gradient != nullptr) {
    names.insert(names.end(), node.gradient->reads.begin(), node.gradient->reads.end());
  }
  return names;
}

void TraceNode(const NodeDef& node, Environment& environment, const LookOutside& look_outside) {
  if (node.refusal.has_value()) throw Error(*node.refusal);
  Items inputs;
  for (const std::string& name : node.inputs) {
    inputs.push_back(name.empty() ? Item() : Find(name, environment, look_outside));
  }
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  const Items outputs = IsStructured(*node.op, inputs)
                            ? TraceStructured(node, std::move(inputs), environment, look_outside)
                            : TracePlain(node, inputs, environment, look_outside);
  for (size_t i = 0; i < node.outputs.size() && i < outputs.size(); ++i) {
    if (!node.outputs[i].empty()) environment[node.outputs[i]] = outputs[i];
  }
}

void TraceEach(const Program* program, std::span<const NodeDef> nodes,
               const std::function<void(const NodeDef&)>& trace) {
  const OriginScope scope;
  Origin& origin = Trace::Current().origin();
  for (const NodeDef& node : nodes) {
    origin.node = node.index;
    origin.label = node.label;
    origin.op = node.op;
    try {
      trace(node);
    } catch (Error& error) {
      // A node of the node's own graph has said where it is.
      const bool placed = !node.graphs.empty() && error.metadata().contains("node");
      if (!placed) Place(error, node);
      if (program != nullptr) error.Prefix(fmt::format("program '{}': ", program->name));
      throw;
    }
  }
}

void TraceNodes(std::span<const NodeDef> nodes, Environment& environment,
                const LookOutside& look_outside) {
  TraceEach(nullptr, nodes,
            [&](const NodeDef& node) { TraceNode(node, environment, look_outside); });
}

void CheckOutputs(const Program& program, const Environment& made) {
  for (const ValueInfo& output : program.outputs) {
    const auto found = made.find(output.name);
    if (found != made.end()) CheckDeclared("output", output, found->second);
  }
}

void TraceCheckpointed(const NodesPtr& nodes, size_t spans, const std::vector<std::string>& bound,
                       const std::vector<std::string>& fetched, Environment& environment,
                       const LookOutside& look_outside) {
  const size_t count = nodes->size();
  std::map<std::string, size_t> last_reader;
  for (size_t i = 0; i < count; ++i) {
    for (const std::string& name : ReadsOf((*nodes)[i])) last_reader[name] = i;
  }
  for (const std::string& name : bound) last_reader[name] = count;
  for (const std::string& name : fetched) last_reader[name] = count;
  size_t begin = 0;
  for (const size_t end : SpanEnds(*nodes, std::min(spans, count), bound)) {
    Span span = SpanOf(nodes, std::exchange(begin, end), end, last_reader);
    Items inputs;
    for (const std::string& name : span.reads) {
      inputs.push_back(Find(name, environment, look_outside));
    }
    span.given = std::make_shared<const ItemLayout>(inputs);
    const std::vector<std::string> makes = span.makes;
    const auto layout = span.made;
    const OriginScope scope;
    Trace::Current().origin().label = "checkpoint";
    const Values results = Checkpoint(std::move(span), TensorsOf(inputs));
    Items made = (*layout)->Assemble(results);
    for (size_t i = 0; i < makes.size(); ++i) environment[makes[i]] = std::move(made[i]);
  }
}

}  // namespace gradwire
