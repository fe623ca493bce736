#include "exec/schedule.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"

namespace gradwire {
namespace {

bool MustRun(const Value& value) {
  return value && value.node() != nullptr && !value.ready() && !value.node()->has_run();
}

}  // namespace

// The order of making is the one that a client can foresee and that keeps memory low: what a
// derivative computes again (autograd/checkpoint.h) is computed when the walk has come to it.
Schedule MakeSchedule(std::span<const Value> targets) {
  Schedule nodes;
  absl::flat_hash_set<const Node*> seen;
  const auto need = [&](const Value& value) {
    if (MustRun(value) && seen.insert(value.node().get()).second) nodes.push_back(value.node());
  };
  for (const Value& target : targets) need(target);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Values& inputs = nodes[i]->inputs();
    for (const Value& input : inputs) need(input);
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const NodePtr& a, const NodePtr& b) { return a->serial() < b->serial(); });
  return nodes;
}

}  // namespace gradwire
