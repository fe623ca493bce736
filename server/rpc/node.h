// ONNX nodes, with the graphs among their attributes, as nodes in our own words.
#ifndef GRADWIRE_RPC_NODE_H_
#define GRADWIRE_RPC_NODE_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "gradwire/v1/gradwire.pb.h"
#include "session/program.h"

namespace gradwire::rpc {

using NodeProtos = google::protobuf::RepeatedPtrField<v1::NodeProto>;
using OpsetProtos = google::protobuf::RepeatedPtrField<v1::OperatorSetIdProto>;
OpsetImports DecodeImports(const OpsetProtos& protos);

// An attribute's type, also where an old exporter left it out.
v1::AttributeProto::AttributeType TypeOf(const v1::AttributeProto& proto);

// The graphs among a node's attributes, with the attributes' names.
std::vector<std::pair<std::string, const v1::GraphProto*>> GraphsOf(const v1::NodeProto& node);
// Names that these graphs read from outside.
std::set<std::string> CapturedNames(const v1::NodeProto& node);
// Calls `visit` for each node, and each in graphs among its attributes.
void ForEachNode(const NodeProtos& nodes, const std::function<void(const v1::NodeProto&)>& visit);

// What messages call a node by, and what its operator means.
struct NodePlace {
  const OpsetImports& imports;
  int index = 0;  // of the client's node that this is, or is a part of
  std::string label;
};
// Appends the nodes that a node stands for.
using DecodeInner =
    std::function<void(const v1::NodeProto&, const NodePlace&, std::vector<NodeDef>&)>;

// A node with its operator found. An operator or attribute that is not supported is kept as the
// node's refusal. `inner` decodes the nodes of graphs among the attributes, which are labelled
// LABEL/ATTRIBUTE/NAME. Throws INVALID_ARGUMENT and the like, naming the node, for an attribute
// that is malformed.
NodeDef DecodeNode(const v1::NodeProto& proto, const NodePlace& place, const DecodeInner& inner);
// The same where each node stands for itself.
NodeDef DecodeNode(const v1::NodeProto& proto, const NodePlace& place);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_NODE_H_
