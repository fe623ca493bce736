// ai.onnx.preview.training's Gradient: a node that names values of the graph around it, and is the
// derivative of the nodes between them.
#ifndef GRADWIRE_SESSION_GRADIENT_NODE_H_
#define GRADWIRE_SESSION_GRADIENT_NODE_H_

#include <vector>

#include "session/trace_nodes.h"

namespace gradwire {

// The function y(xs, zs) that a Gradient node differentiates.
struct GradientDef {
  std::vector<std::string> xs;
  std::vector<std::string> zs;
  std::string y;
  std::vector<NodeDef> nodes;      // those that y depends on, back to xs and zs
  std::vector<std::string> reads;  // what these read besides
  size_t size = 0;                 // of the nodes, and of those that Gradients among them trace
  int order = 1;                   // one more than that of Gradients among them
};

// Finds the function of each Gradient among `nodes`, which are in order, and in graphs among their
// attributes: there the function is of that graph's nodes. Throws INVALID_MODEL that names the node
// where nothing before it makes y, the inputs are not as many as xs and zs, or Gradients of
// Gradients come to more than a sane program.
void ResolveGradients(std::vector<NodeDef>& nodes);

// The gradients that the node makes. Its inputs are the values of xs and zs. Throws
// INVALID_ARGUMENT where y is no tensor, and as GradientsOf and Trace::CountTrips.
Values TraceGradient(const NodeDef& node, const Values& inputs, const Environment& environment,
                     const LookOutside& look_outside);

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_GRADIENT_NODE_H_
