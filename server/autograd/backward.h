// Reverse-mode differentiation of a traced graph. The result is traced too: nothing runs here.
#ifndef GRADWIRE_AUTOGRAD_BACKWARD_H_
#define GRADWIRE_AUTOGRAD_BACKWARD_H_

#include <span>
#include <vector>

#include "graph/value.h"

namespace gradwire {

// What an array is differentiated with respect to, or a gradient belongs to: a leaf, or an output
// of a recorded node. Two values with equal edges are the same array to autograd.
struct Edge {
  const void* owner = nullptr;  // the Leaf or the Node
  int index = 0;

  bool operator==(const Edge&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const Edge& e) {
    return H::combine(std::move(h), e.owner, e.index);
  }
};
// The edge of a value that requires grad; an empty one (owner null) otherwise.
Edge EdgeOf(const Value& value);

struct BackwardOptions {
  bool retain_graph = false;  // implied by create_graph
  bool create_graph = false;  // record the gradients' own graph
};

struct BackwardResult {
  // As long as the inputs; an absent Value where the roots do not depend on one.
  std::vector<Value> gradients;
  // Nodes whose rule ran.
  std::vector<NodePtr> used;
  // Of these, the ones that this walk used up and marked as freed; empty with retain_graph. The
  // caller drops their arrays, or takes the mark back when the command fails.
  std::vector<NodePtr> freed;
};

// Marks nodes as freed; returns those that were not before.
std::vector<NodePtr> MarkFreed(const std::vector<NodePtr>& used);

// Gradients of sum(seed_i * root_i) with respect to each input. Seeds have their root's shape and
// element type; an absent seed means 1 and REQUIRES a root of one element (checked, with PyTorch's
// text). Throws NO_GRAPH when a root has no graph, NOT_DIFFERENTIABLE naming the operator, and
// GRAPH_FREED when the walk needs what an earlier one freed. While the trace detects anomalies,
// each rule's gradients are watched; NON_FINITE names the forward node.
BackwardResult Backward(std::span<const Value> roots, std::span<const Value> seeds,
                        std::span<const Value> inputs, const BackwardOptions& options);

// Every leaf that requires grad and that the roots depend on, in the order of a depth-first walk.
std::vector<Value> LeavesOf(std::span<const Value> roots);

// Recorded nodes behind the roots, each before those that read it.
std::vector<NodePtr> GraphBehind(std::span<const Value> roots);

}  // namespace gradwire

#endif  // GRADWIRE_AUTOGRAD_BACKWARD_H_
