#include "exec/plan.h"

#include <unordered_set>

namespace gradwire {
namespace {

bool MustRun(const Value& value) {
  return value && value.node() != nullptr && !value.ready() && !value.node()->has_run();
}

// A node on the way down, and how many of its inputs have been looked at.
struct Visit {
  NodePtr node;
  size_t next_input = 0;
};

}  // namespace

Plan MakePlan(std::span<const Value> targets) {
  Plan plan;
  std::unordered_set<const Node*> seen;
  std::vector<Visit> path;
  for (const Value& target : targets) {
    if (!MustRun(target) || !seen.insert(target.node().get()).second) continue;
    path.push_back({target.node()});
    while (!path.empty()) {
      Visit& visit = path.back();
      if (visit.next_input == visit.node->inputs().size()) {
        plan.nodes.push_back(std::move(visit.node));
        path.pop_back();
        continue;
      }
      const Value& input = visit.node->inputs()[visit.next_input++];
      if (MustRun(input) && seen.insert(input.node().get()).second) {
        path.push_back({input.node()});
      }
    }
  }
  return plan;
}

}  // namespace gradwire
