#include "session/graph_body.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "graph/formula.h"

namespace gradwire {

GraphBody::GraphBody(const GraphDef& graph, const Environment& outer,
                     const LookOutside& look_outside)
    : graph_(graph), outer_(outer), look_outside_(look_outside) {
  for (const auto& [name, array] : graph.constants) constants_[name] = Constant(array);
}

std::optional<TensorSpec> GraphBody::OutputSpec(size_t i) const {
  const ValueInfo& info = graph_.outputs[i];
  if (info.dtype == DType::kUndefined || !info.dims.has_value()) return std::nullopt;
  TensorSpec spec{info.dtype, {}};
  for (const ValueInfo::Dim& dim : *info.dims) {
    if (!dim.extent.has_value()) return std::nullopt;
    spec.dims.push_back(*dim.extent);
  }
  return spec;
}

Items GraphBody::operator()(const Items& inputs) const {
  const auto look = [this](const std::string& name) {
    const auto constant = constants_.find(name);
    return constant != constants_.end() ? constant->second : Find(name, outer_, look_outside_);
  };
  Environment environment;
  for (size_t i = 0; i < inputs.size(); ++i) {
    CheckDeclared("the graph's input", graph_.inputs[i], inputs[i]);
    environment[graph_.inputs[i].name] = inputs[i];
  }
  TraceNodes(graph_.nodes, environment, look);
  Items outputs;
  for (const ValueInfo& output : graph_.outputs) {
    outputs.push_back(Find(output.name, environment, look));
    CheckDeclared("the graph's output", output, outputs.back());
  }
  return outputs;
}

}  // namespace gradwire
