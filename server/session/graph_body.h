// A graph among a node's attributes, as the rules of control flow see it.
#ifndef GRADWIRE_SESSION_GRAPH_BODY_H_
#define GRADWIRE_SESSION_GRAPH_BODY_H_

#include <optional>

#include "graph/structured.h"
#include "session/trace_nodes.h"

namespace gradwire {

// Looks names up among its own, then in `outer`, then in `look_outside`; all three outlive it.
class GraphBody final : public Body {
 public:
  GraphBody(const GraphDef& graph, const Environment& outer, const LookOutside& look_outside);

  size_t num_inputs() const override { return graph_.inputs.size(); }
  size_t num_outputs() const override { return graph_.outputs.size(); }
  std::optional<TensorSpec> OutputSpec(size_t i) const override;
  DType OutputType(size_t i) const override { return graph_.outputs[i].dtype; }
  Items operator()(const Items& inputs) const override;

 private:
  const GraphDef& graph_;
  const Environment& outer_;
  const LookOutside& look_outside_;
  Environment constants_;  // its initializers, the same arrays for each trip
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_GRAPH_BODY_H_
