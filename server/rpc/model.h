// ONNX messages as programs, and graphs as ONNX messages.
#ifndef GRADWIRE_RPC_MODEL_H_
#define GRADWIRE_RPC_MODEL_H_

#include <optional>
#include <string>
#include <vector>

#include "gradwire/v1/gradwire.pb.h"
#include "rpc/external_data.h"
#include "session/program.h"
#include "session/transaction.h"

namespace gradwire::rpc {

using OpsetProtos = google::protobuf::RepeatedPtrField<v1::OperatorSetIdProto>;
OpsetImports DecodeImports(const OpsetProtos& protos);

// An attribute's type, also where an old exporter left it out.
v1::AttributeProto::AttributeType TypeOf(const v1::AttributeProto& proto);

// A node with its operator found; `index` and `label` are what messages call it by. An operator or
// attribute that is not supported is kept as the node's refusal. Throws INVALID_ARGUMENT and the
// like, naming the node, for an attribute that is malformed.
NodeDef DecodeNode(const v1::NodeProto& proto, const OpsetImports& imports, int index,
                   const std::string& label);

// A program, the arrays of its initializers by the model's names, and those bytes of them that are
// still to come.
struct LoadedProgram {
  Program program;
  std::vector<NamedTensor> initializers;
  ExternalData external;
};
// Throws INVALID_MODEL for more bytes than a Protocol Buffers message can have.
void CheckModelSize(size_t bytes);

// Throws INVALID_MODEL for what is not a well-formed model (model_check.h says which), has a
// malformed array or type, or functions that cannot be expanded (functions.h).
// Initializers are allocated on `stream`.
LoadedProgram DecodeModel(v1::ModelProto model, const std::string& name,
                          const std::string& parameter_prefix, Stream& stream);

// Where a program that SaveSession wrote had its parameters.
std::optional<std::string> SavedPrefix(const v1::ModelProto& model);

// A value whose spec is known, or not.
ValueInfo InfoOf(const std::string& name, const std::optional<TensorSpec>& spec);
void EncodeValueInfo(const ValueInfo& info, v1::ValueInfoProto* proto);
void EncodeProgram(const Program& program, v1::ProgramInfo* proto);

// The recorded graph behind a value, which is its one output.
v1::ModelProto EncodeGraph(const std::string& name, const Value& value);
// A model's nodes and edges in Graphviz's language.
std::string ToDot(const v1::GraphProto& graph);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_MODEL_H_
