// ai.onnx.preview.training's Gradient, which is a node of a graph: session/gradient_node.cc traces
// it there.
#include "graph/op_call.h"

namespace gradwire {
namespace {

Values RefuseGradient(const OpCall&) {
  throw Error(reason::kInvalidArgument,
              "xs, zs and y name values of the graph that the node is part of: there is none");
}

GRADWIRE_OP({.name = "Gradient",
             .domain = "ai.onnx.preview.training",
             .inputs = {1, kVariadic},
             .outputs = {1, kVariadic},
             .types = kAnyType,
             .attributes = {"xs", "y", "zs"},
             .decompose = RefuseGradient});

}  // namespace
}  // namespace gradwire
