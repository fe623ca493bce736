#include "autograd/checkpoint.h"

#include <unordered_set>
#include <utility>
#include <vector>

#include "autograd/backward.h"
#include "graph/op_call.h"
#include "graph/trace.h"

namespace gradwire {
namespace {

// Sets the trace's random state while it lives.
class RandomStateScope {
 public:
  explicit RandomStateScope(uint64_t state)
      : before_(std::exchange(Trace::Current().random_state(), state)) {}
  ~RandomStateScope() { Trace::Current().random_state() = before_; }
  RandomStateScope(const RandomStateScope&) = delete;
  RandomStateScope& operator=(const RandomStateScope&) = delete;

 private:
  const uint64_t before_;
};

// A place in the graph of its own for `x`, so that a walk back to it does not go further. The graph
// behind x is of use only where the walk is recorded.
Value StandIn(const Value& x, bool needed) {
  if (!x.requires_grad()) return x;
  if (Trace::Current().recording()) return Call("Identity", {x});
  Value stand_in = Call("gradwire::Detach", {x});
  if (needed) stand_in.slot()->leaf = std::make_shared<Leaf>();
  return stand_in;
}

// The node's inputs are the kept results, and then the function's inputs.
class Recompute final : public Rule {
 public:
  // `kept`: which of the function's results the node has.
  Recompute(TracedFunction function, uint64_t random_state, std::vector<size_t> kept)
      : function_(std::move(function)), random_state_(random_state), kept_(std::move(kept)) {}

  Values Vjp(const VjpCall& call) const override {
    const bool records = Trace::Current().recording();
    const size_t first = kept_.size();
    Values inputs;
    for (size_t i = first; i < call.num_inputs(); ++i) {
      inputs.push_back(StandIn(call.input(i), call.needs(i)));
    }
    const Values results = Again(inputs);
    std::vector<Value> roots, seeds, wanted;
    std::vector<size_t> places;
    for (size_t k = 0; k < kept_.size(); ++k) {
      if (!call.flows(k)) continue;
      roots.push_back(results[kept_[k]]);
      seeds.push_back(call.dy(k));
    }
    for (size_t i = first; i < call.num_inputs(); ++i) {
      if (!call.needs(i)) continue;
      wanted.push_back(inputs[i - first]);
      places.push_back(i);
    }
    const BackwardResult walk = Backward(roots, seeds, wanted, {.create_graph = records});
    Values gradients(call.num_inputs());
    for (size_t w = 0; w < wanted.size(); ++w) gradients[places[w]] = walk.gradients[w];
    return gradients;
  }
  bool SavesInput(size_t i) const override { return i >= kept_.size(); }
  bool SavesOutput(size_t) const override { return false; }

 private:
  Values Again(const Values& inputs) const {
    const RecordingScope on(true);
    const RandomStateScope same(random_state_);
    return function_(inputs);
  }

  const TracedFunction function_;
  const uint64_t random_state_;
  const std::vector<size_t> kept_;
};

// Takes the nodes behind `results` that were made after `mark` out of the graph.
void StopRecordingSince(uint64_t mark, const Values& results) {
  std::unordered_set<const Node*> seen;
  std::vector<NodePtr> pending;
  const auto enter = [&](const Value& value) {
    const NodePtr node = value ? value.node() : nullptr;
    if (node != nullptr && node->serial() > mark && seen.insert(node.get()).second) {
      pending.push_back(node);
    }
  };
  for (const Value& result : results) enter(result);
  while (!pending.empty()) {
    const NodePtr node = std::move(pending.back());
    pending.pop_back();
    for (const Value& input : node->inputs()) enter(input);
    node->StopRecording();
  }
}

}  // namespace

// It is traced as recorded first: that tells which results have a gradient, and the same kernels
// run now and when it is computed again.
Values Checkpoint(TracedFunction function, const Values& inputs) {
  const uint64_t random_state = Trace::Current().random_state();
  const uint64_t mark = Node::LastSerial();
  Values results = function(inputs);
  std::vector<size_t> kept;
  Values kept_results;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i] || !results[i].requires_grad()) continue;
    kept.push_back(i);
    kept_results.push_back(results[i]);
  }
  StopRecordingSince(mark, results);
  if (kept.empty()) return results;
  const Values wrapped = ApplyFunction(
      kept_results, inputs, std::make_shared<Recompute>(std::move(function), random_state, kept));
  for (size_t k = 0; k < kept.size(); ++k) results[kept[k]] = wrapped[k];
  return results;
}

}  // namespace gradwire
