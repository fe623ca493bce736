#include "autograd/forward_mode.h"

#include <array>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "graph/formula.h"

namespace gradwire {
namespace {

// Gradients with respect to `inputs` of sum_i <values_i, weights_i>; zeros where there is none.
BackwardResult Along(const std::vector<Value>& values, std::span<const Value> weights,
                     std::span<const Value> inputs, bool create_graph) {
  std::vector<Value> roots, seeds;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i] || !values[i].requires_grad()) continue;  // constant
    roots.push_back(values[i]);
    seeds.push_back(weights[i]);
  }
  BackwardResult result =
      Backward(roots, seeds, inputs, {.retain_graph = true, .create_graph = create_graph});
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!result.gradients[i]) result.gradients[i] = ZerosLike(inputs[i].spec());
  }
  return result;
}

// What two walks used, freed together: the second may come to nodes of the first again.
void Finish(BackwardResult& result, const BackwardResult& first, const BackwardOptions& options) {
  absl::flat_hash_set<const Node*> seen;
  for (const NodePtr& node : result.used) seen.insert(node.get());
  for (const NodePtr& node : first.used) {
    if (seen.insert(node.get()).second) result.used.push_back(node);
  }
  if (!options.retain_graph && !options.create_graph) result.freed = MarkFreed(result.used);
}

}  // namespace

BackwardResult Jvp(std::span<const Value> outputs, std::span<const Value> inputs,
                   std::span<const Value> tangents, const BackwardOptions& options) {
  std::vector<Value> seeds;
  for (const Value& output : outputs) {
    Value seed = ZerosLike(output.spec());
    seed.slot()->leaf = std::make_shared<Leaf>();
    seeds.push_back(std::move(seed));
  }
  const BackwardResult first = Backward(outputs, seeds, inputs, {.create_graph = true});
  BackwardResult result = Along(first.gradients, tangents, seeds, options.create_graph);
  Finish(result, first, options);
  return result;
}

BackwardResult Hvp(const Value& output, std::span<const Value> inputs,
                   std::span<const Value> vectors, const BackwardOptions& options) {
  const BackwardResult first = Backward(std::array{output}, {}, inputs, {.create_graph = true});
  BackwardResult result = Along(first.gradients, vectors, inputs, options.create_graph);
  Finish(result, first, options);
  return result;
}

}  // namespace gradwire
