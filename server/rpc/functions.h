// Local functions of a model: each call becomes the nodes of the function's body.
#ifndef GRADWIRE_RPC_FUNCTIONS_H_
#define GRADWIRE_RPC_FUNCTIONS_H_

#include <vector>

#include "gradwire/v1/gradwire.pb.h"
#include "session/program.h"

namespace gradwire::rpc {

// The nodes of the model's graph, in order, without calls. Each means its operator under the
// imports of the graph or function that it stands in. A node of a body has the index of the call in
// the graph; its label and the names of values that the body keeps to itself are paths: CALL/NAME.
// Throws INVALID_MODEL that names the node: for a function that calls itself, a call that does not
// fit the function, or calls that come to more than a sane program.
// REQUIRES: CheckModel(model) did not throw.
std::vector<NodeDef> ExpandNodes(const v1::ModelProto& model);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_FUNCTIONS_H_
