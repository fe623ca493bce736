// Short ways to write requests. Any request can as well be filled in field by field: gradwire.proto
// is the manual.
#ifndef GRADWIRE_CLIENT_COMMANDS_H_
#define GRADWIRE_CLIENT_COMMANDS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::client {

v1::AttributeProto IntAttribute(std::string name, int64_t value);
v1::AttributeProto FloatAttribute(std::string name, float value);
v1::AttributeProto StringAttribute(std::string name, std::string value);
v1::AttributeProto IntsAttribute(std::string name, const std::vector<int64_t>& values);

// One operator call, in the default domain: Node("MatMul", {"x", "w"}, {"h"}).
v1::NodeProto Node(std::string op_type, const std::vector<std::string>& inputs,
                   const std::vector<std::string>& outputs,
                   const std::vector<v1::AttributeProto>& attributes = {});

// Runs nodes and binds `outputs`; with none, binds every node's outputs.
v1::ForwardRequest Forward(const std::vector<v1::NodeProto>& nodes,
                           const std::vector<std::string>& outputs = {});
v1::BackwardRequest Backward(const std::vector<std::string>& roots);
v1::FetchRequest Fetch(const std::vector<std::string>& names);
v1::PutRequest Put(std::vector<v1::TensorProto> tensors, bool requires_grad = false);
// Moves every leaf that has a gradient, and drops the gradients.
v1::StepRequest SgdStep(double lr);

// A request as one command of a Run or a Pipeline.
v1::Command ToCommand(v1::PutRequest request);
v1::Command ToCommand(v1::FetchRequest request);
v1::Command ToCommand(v1::ForwardRequest request);
v1::Command ToCommand(v1::BackwardRequest request);
v1::Command ToCommand(v1::GradientsRequest request);
v1::Command ToCommand(v1::DetachRequest request);
v1::Command ToCommand(v1::CopyRequest request);
v1::Command ToCommand(v1::DeleteRequest request);
v1::Command ToCommand(v1::StepRequest request);
v1::Command ToCommand(v1::ZeroGradRequest request);
v1::Command ToCommand(v1::JvpRequest request);
v1::Command ToCommand(v1::HvpRequest request);

// Requests as one Run, in their order: session.Run(Batch(forward, backward, step)).
template <class... Requests>
v1::RunRequest Batch(Requests... requests) {
  v1::RunRequest run;
  (run.mutable_commands()->Add(ToCommand(std::move(requests))), ...);
  return run;
}

}  // namespace gradwire::client

#endif  // GRADWIRE_CLIENT_COMMANDS_H_
