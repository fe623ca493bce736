#include "autograd/backward.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "core/error.h"
#include "graph/anomaly.h"
#include "graph/formula.h"
#include "graph/halves.h"

namespace gradwire {
namespace {

struct Visit {
  NodePtr node;
  size_t next_input = 0;
};

// Gradients under way: what has been summed so far for each edge.
class Accumulator {
 public:
  void Add(const Edge& edge, const TensorSpec& spec, Value gradient) {
    gradient = Cast(SumTo(gradient, spec.dims), spec.dtype);
    Value& sum = sums_[edge];
    sum = sum ? sum + gradient : std::move(gradient);
  }
  // The sum so far; absent when nothing came.
  Value Get(const Edge& edge) const {
    const auto found = sums_.find(edge);
    return found == sums_.end() ? Value() : found->second;
  }
  void Erase(const Edge& edge) { sums_.erase(edge); }

 private:
  absl::flat_hash_map<Edge, Value> sums_;
};

// The seed of root `i`, in PyTorch's words where there is something wrong with it.
Value Seed(const Value& root, const Value& seed, size_t i) {
  if (!root.requires_grad()) {
    throw Error(
        reason::kNoGraph,
        fmt::format("element {} of tensors does not require grad and does not have a grad_fn", i));
  }
  if (!seed) {
    if (root.numel() != 1) {
      throw Error(reason::kShapeMismatch,
                  fmt::format("grad can be implicitly created only for scalar outputs, got {}",
                              ToString(root.spec())));
    }
    return Full(root.dims(), 1.0, root.dtype());
  }
  if (seed.dims() != root.dims()) {
    throw Error(
        reason::kShapeMismatch,
        fmt::format("Mismatch in shape: grad_output[{0}] has a shape of {1} and output[{0}] "
                    "has a shape of {2}.",
                    i, ToString(seed.dims()), ToString(root.dims())));
  }
  return Cast(seed, root.dtype());
}

// What anomaly detection says of a gradient that `node`'s rule gave.
Error DerivativeError(Node& node, size_t input) {
  const Origin& origin = node.origin();
  const std::string op(origin.op != nullptr ? origin.op->name : node.op().name);
  std::string place;
  if (origin.node >= 0) place += fmt::format("node {} ", origin.node);
  if (!origin.label.empty()) place += fmt::format("'{}' ", origin.label);
  std::vector<TensorSpec> outputs;
  for (size_t i = 0; i < node.num_outputs(); ++i) {
    outputs.push_back(node.output_slot(static_cast<int>(i))->spec);
  }
  Error error(reason::kNonFinite,
              fmt::format("the derivative of {}({}), {}: the gradient of input {}", place, op,
                          Signature(node.op().name, node.inputs(), outputs), input));
  error.With("op", op);
  const int command = Trace::Current().origin().command;
  if (command >= 0) {
    error.Prefix(fmt::format("command {}: ", command)).With("command", std::to_string(command));
  }
  if (origin.node >= 0) error.With("node", std::to_string(origin.node));
  if (!origin.label.empty()) error.With("node_name", origin.label);
  return error;
}

// Gradients of float32 as such of the 16-bit inputs that they belong to.
Values Narrowed(const Node& node, Values gradients, const std::vector<bool>& needs) {
  DType half = DType::kUndefined;
  uint32_t which = 0;
  for (size_t i = 0; i < std::min(gradients.size(), needs.size()); ++i) {
    if (!gradients[i] || !needs[i] || !kHalves.Contains(node.inputs()[i].dtype())) continue;
    half = node.inputs()[i].dtype();
    which |= 1u << std::min<size_t>(i, 31);
    gradients[i] = SumTo(gradients[i], node.inputs()[i].dims());
  }
  return Narrow(std::move(gradients), half, which);
}

// Nodes from which one of the wanted edges can be reached, the walk's only stops.
absl::flat_hash_set<const Node*> NodesOnPath(const std::vector<NodePtr>& order,
                                             const absl::flat_hash_set<Edge>& wanted) {
  absl::flat_hash_set<const Node*> on_path;
  for (const NodePtr& node : order) {
    for (const Value& input : node->inputs()) {
      if (!input || !input.requires_grad()) continue;
      const NodePtr producer = input.grad_fn();
      if (wanted.contains(EdgeOf(input)) || (producer && on_path.contains(producer.get()))) {
        on_path.insert(node.get());
        break;
      }
    }
  }
  return on_path;
}

class Walk {
 public:
  Walk(std::span<const Value> roots, std::span<const Value> inputs) : order_(GraphBehind(roots)) {
    for (const Value& input : inputs) wanted_.insert(EdgeOf(input));
    on_path_ = NodesOnPath(order_, wanted_);
  }

  void Seed(const Value& root, Value seed) {
    sums_.Add(EdgeOf(root), root.spec(), std::move(seed));
  }

  // Visits nodes against the order of their making; returns those whose rule ran.
  std::vector<NodePtr> Run() {
    std::vector<NodePtr> used;
    for (size_t i = order_.size(); i-- > 0;) {
      if (!on_path_.contains(order_[i].get())) continue;
      if (Visit(order_[i])) used.push_back(order_[i]);
    }
    return used;
  }

  Value Gradient(const Value& input) const { return sums_.Get(EdgeOf(input)); }

 private:
  bool Visit(const NodePtr& node) {
    Values dy;
    std::vector<bool> flows;
    bool any = false;
    for (size_t i = 0; i < node->num_outputs(); ++i) {
      const Edge edge{node.get(), static_cast<int>(i)};
      dy.push_back(sums_.Get(edge));
      flows.push_back(static_cast<bool>(dy.back()));
      any = any || dy.back();
      if (!wanted_.contains(edge)) sums_.Erase(edge);
    }
    if (!any) return false;
    for (size_t i = 0; i < dy.size(); ++i) {
      const TensorSpec& spec = node->output_slot(static_cast<int>(i))->spec;
      if (!dy[i] && kGradTypes.Contains(spec.dtype)) dy[i] = ZerosLike(spec);
    }
    Propagate(*node, dy, std::move(flows));
    return true;
  }

  void Propagate(Node& node, const Values& dy, std::vector<bool> flows) {
    std::vector<bool> needs;
    for (const Value& input : node.inputs()) needs.push_back(IsNeeded(input));
    const VjpCall call(node, dy, std::move(flows), needs);
    Values gradients = node.op().vjp(call);
    if (call.widened()) gradients = Narrowed(node, std::move(gradients), needs);
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i]) continue;
      if (i >= needs.size()) {
        throw Error(reason::kInternal,
                    fmt::format("the VJP of {} has a gradient for input {} of {}", node.op().name,
                                i, needs.size()));
      }
      if (!needs[i]) continue;
      const Value& input = node.inputs()[i];
      if (Trace::Current().detects_anomalies()) {
        Values made_from = dy;
        made_from.insert(made_from.end(), node.inputs().begin(), node.inputs().end());
        WatchFor(gradients[i], DerivativeError(node, i), made_from);
      }
      sums_.Add(EdgeOf(input), input.spec(), gradients[i]);
    }
  }

  bool IsNeeded(const Value& input) const {
    if (!input || !input.requires_grad()) return false;
    const NodePtr producer = input.grad_fn();
    return wanted_.contains(EdgeOf(input)) || (producer && on_path_.contains(producer.get()));
  }

  const std::vector<NodePtr> order_;
  absl::flat_hash_set<Edge> wanted_;
  absl::flat_hash_set<const Node*> on_path_;
  Accumulator sums_;
};

}  // namespace

Edge EdgeOf(const Value& value) {
  if (const NodePtr node = value.grad_fn()) return {node.get(), value.index()};
  return {value.leaf().get(), 0};
}

std::vector<NodePtr> GraphBehind(std::span<const Value> roots) {
  std::vector<NodePtr> order;
  absl::flat_hash_set<const Node*> seen;
  std::vector<Visit> path;
  const auto enter = [&](const Value& value) {
    NodePtr node = value ? value.grad_fn() : nullptr;
    if (node && seen.insert(node.get()).second) path.push_back({std::move(node)});
  };
  for (const Value& root : roots) {
    enter(root);
    while (!path.empty()) {
      Visit& visit = path.back();
      if (visit.next_input < visit.node->inputs().size()) {
        enter(visit.node->inputs()[visit.next_input++]);
        continue;
      }
      order.push_back(std::move(visit.node));
      path.pop_back();
    }
  }
  return order;
}

std::vector<Value> LeavesOf(std::span<const Value> roots) {
  std::vector<Value> leaves;
  absl::flat_hash_set<const Leaf*> seen;
  const auto add = [&](const Value& value) {
    if (value && value.leaf() && !value.grad_fn() && seen.insert(value.leaf().get()).second) {
      leaves.push_back(value);
    }
  };
  for (const Value& root : roots) add(root);
  for (const NodePtr& node : GraphBehind(roots)) {
    for (const Value& input : node->inputs()) add(input);
  }
  return leaves;
}

std::vector<NodePtr> MarkFreed(const std::vector<NodePtr>& used) {
  std::vector<NodePtr> freed;
  for (const NodePtr& node : used) {
    if (node->freed()) continue;
    node->MarkFreed(true);
    freed.push_back(node);
  }
  return freed;
}

BackwardResult Backward(std::span<const Value> roots, std::span<const Value> seeds,
                        std::span<const Value> inputs, const BackwardOptions& options) {
  const RecordingScope recording(options.create_graph);
  Walk walk(roots, inputs);
  for (size_t i = 0; i < roots.size(); ++i) {
    walk.Seed(roots[i], Seed(roots[i], i < seeds.size() ? seeds[i] : Value(), i));
  }
  BackwardResult result;
  result.used = walk.Run();
  for (const Value& input : inputs) result.gradients.push_back(walk.Gradient(input));
  if (!options.retain_graph && !options.create_graph) result.freed = MarkFreed(result.used);
  return result;
}

}  // namespace gradwire
