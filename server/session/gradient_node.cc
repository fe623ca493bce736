#include "session/gradient_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "autograd/gradient.h"
#include "core/error.h"
#include "graph/trace.h"

namespace gradwire {
namespace {

// A derivative has several times the nodes of its function, and is traced anew for each that names
// it.
constexpr int kMaxOrder = 6;
constexpr size_t kMaxSize = size_t{1} << 16;
constexpr int kMaxGradients = 256;

Error Invalid(std::string message) { return {reason::kInvalidModel, std::move(message)}; }

// The attributes, checked against the call.
GradientDef Declared(const NodeDef& node) {
  GradientDef gradient;
  gradient.xs = node.attributes.Strings("xs");
  if (node.attributes.Has("zs")) gradient.zs = node.attributes.Strings("zs");
  gradient.y = node.attributes.String("y");
  if (node.inputs.size() != gradient.xs.size() + gradient.zs.size()) {
    throw Invalid(fmt::format("has {} inputs for {} xs and {} zs", node.inputs.size(),
                              gradient.xs.size(), gradient.zs.size()));
  }
  if (std::find(node.inputs.begin(), node.inputs.end(), "") != node.inputs.end()) {
    throw Invalid("an input is left out: each of xs and zs has a value");
  }
  if (node.outputs.size() > gradient.xs.size()) {
    throw Invalid(fmt::format("has {} outputs for {} xs", node.outputs.size(), gradient.xs.size()));
  }
  return gradient;
}

void Add(const NodeDef& node, GradientDef& gradient) {
  gradient.nodes.push_back(node);
  ++gradient.size;
  if (node.gradient == nullptr) return;
  gradient.size += node.gradient->size;
  gradient.order = std::max(gradient.order, node.gradient->order + 1);
}

GradientDef FindFunction(const std::vector<NodeDef>& nodes, size_t at) {
  GradientDef gradient = Declared(nodes[at]);
  absl::flat_hash_set<std::string> given(gradient.xs.begin(), gradient.xs.end());
  given.insert(gradient.zs.begin(), gradient.zs.end());
  absl::flat_hash_set<std::string> open;
  const auto need = [&](const std::string& name) {
    if (!name.empty() && !given.contains(name)) open.insert(name);
  };
  need(gradient.y);
  for (size_t i = at; i-- > 0;) {
    const auto& made = nodes[i].outputs;
    if (std::none_of(made.begin(), made.end(), [&](auto& name) { return open.contains(name); })) {
      continue;
    }
    for (const std::string& name : made) open.erase(name);
    for (const std::string& name : ReadsOf(nodes[i])) need(name);
    Add(nodes[i], gradient);
  }
  if (open.contains(gradient.y)) {
    throw Invalid(fmt::format("nothing before it makes y, '{}'", gradient.y));
  }
  std::reverse(gradient.nodes.begin(), gradient.nodes.end());
  gradient.reads.assign(open.begin(), open.end());
  std::sort(gradient.reads.begin(), gradient.reads.end());
  return gradient;
}

bool IsGradient(const NodeDef& node) {
  return node.op_type == "Gradient" && node.domain == "ai.onnx.preview.training";
}

// Resolves the Gradients of one client's nodes, and counts them.
class Resolver {
 public:
  void Resolve(std::vector<NodeDef>& nodes) {
    for (size_t i = 0; i < nodes.size(); ++i) {
      // Graphs first: a Gradient behind them copies their node.
      for (auto& [name, graph] : nodes[i].graphs) ResolveGraph(graph);
      if (!IsGradient(nodes[i])) continue;
      try {
        nodes[i].gradient = Count(FindFunction(nodes, i));
      } catch (Error& error) {
        Place(error, nodes[i]);
        throw;
      }
    }
  }

 private:
  void ResolveGraph(GraphPtr& graph) {
    bool any = false;
    ForEachNode(graph->nodes, [&](const NodeDef& node) { any |= IsGradient(node); });
    if (!any) return;
    auto resolved = std::make_shared<GraphDef>(*graph);
    Resolve(resolved->nodes);
    graph = std::move(resolved);
  }

  std::shared_ptr<const GradientDef> Count(GradientDef gradient) {
    size_ += gradient.size;
    if (++count_ > kMaxGradients || size_ > kMaxSize || gradient.order > kMaxOrder) {
      throw Invalid(fmt::format("Gradients are limited to {}, of {} nodes and order {}",
                                kMaxGradients, kMaxSize, kMaxOrder));
    }
    return std::make_shared<const GradientDef>(std::move(gradient));
  }

  size_t size_ = 0;
  int count_ = 0;
};

}  // namespace

void ResolveGradients(std::vector<NodeDef>& nodes) { Resolver().Resolve(nodes); }

Values TraceGradient(const NodeDef& node, const Values& inputs, const Environment& environment,
                     const LookOutside& look_outside) {
  const GradientDef& gradient = *node.gradient;
  const auto look = [&](const std::string& name) { return Find(name, environment, look_outside); };
  const auto function = [&](const Values& values) -> Values {
    Environment names;
    for (size_t i = 0; i < values.size(); ++i) {
      const bool differentiated = i < gradient.xs.size();
      names[differentiated ? gradient.xs[i] : gradient.zs[i - gradient.xs.size()]] = values[i];
    }
    TraceNodes(gradient.nodes, names, look);
    // What is to be differentiated has unrolled loops, and Gradients in their bodies.
    Trace::Current().CountTrips(1);
    return {TensorOf(gradient.y, Find(gradient.y, names, look))};
  };
  const auto split = inputs.begin() + static_cast<std::ptrdiff_t>(gradient.xs.size());
  return GradientsOf(function, {inputs.begin(), split}, {split, inputs.end()});
}

}  // namespace gradwire
