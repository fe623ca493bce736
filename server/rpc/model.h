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

void EncodeProgram(const Program& program, v1::ProgramInfo* proto);

// The recorded graph behind a value, which is its one output.
v1::ModelProto EncodeGraph(const std::string& name, const Value& value);
// A model's nodes and edges in Graphviz's language.
std::string ToDot(const v1::GraphProto& graph);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_MODEL_H_
