#include "gradwire/client/commands.h"

namespace gradwire::client {
namespace {

v1::AttributeProto Attribute(std::string name, v1::AttributeProto_AttributeType type) {
  v1::AttributeProto attribute;
  attribute.set_name(std::move(name));
  attribute.set_type(type);
  return attribute;
}

}  // namespace

v1::AttributeProto IntAttribute(std::string name, int64_t value) {
  v1::AttributeProto attribute = Attribute(std::move(name), v1::AttributeProto_AttributeType_INT);
  attribute.set_i(value);
  return attribute;
}

v1::AttributeProto FloatAttribute(std::string name, float value) {
  v1::AttributeProto attribute = Attribute(std::move(name), v1::AttributeProto_AttributeType_FLOAT);
  attribute.set_f(value);
  return attribute;
}

v1::AttributeProto StringAttribute(std::string name, std::string value) {
  v1::AttributeProto attribute =
      Attribute(std::move(name), v1::AttributeProto_AttributeType_STRING);
  attribute.set_s(std::move(value));
  return attribute;
}

v1::AttributeProto IntsAttribute(std::string name, const std::vector<int64_t>& values) {
  v1::AttributeProto attribute = Attribute(std::move(name), v1::AttributeProto_AttributeType_INTS);
  attribute.mutable_ints()->Add(values.begin(), values.end());
  return attribute;
}

v1::NodeProto Node(std::string op_type, const std::vector<std::string>& inputs,
                   const std::vector<std::string>& outputs,
                   const std::vector<v1::AttributeProto>& attributes) {
  v1::NodeProto node;
  node.set_op_type(std::move(op_type));
  node.mutable_input()->Add(inputs.begin(), inputs.end());
  node.mutable_output()->Add(outputs.begin(), outputs.end());
  node.mutable_attribute()->Add(attributes.begin(), attributes.end());
  return node;
}

v1::ForwardRequest Forward(const std::vector<v1::NodeProto>& nodes,
                           const std::vector<std::string>& outputs) {
  v1::ForwardRequest request;
  request.mutable_nodes()->Add(nodes.begin(), nodes.end());
  request.mutable_outputs()->Add(outputs.begin(), outputs.end());
  return request;
}

v1::BackwardRequest Backward(const std::vector<std::string>& roots) {
  v1::BackwardRequest request;
  request.mutable_roots()->Add(roots.begin(), roots.end());
  return request;
}

v1::FetchRequest Fetch(const std::vector<std::string>& names) {
  v1::FetchRequest request;
  request.mutable_names()->Add(names.begin(), names.end());
  return request;
}

v1::PutRequest Put(std::vector<v1::TensorProto> tensors, bool requires_grad) {
  v1::PutRequest request;
  for (v1::TensorProto& tensor : tensors) *request.add_tensors() = std::move(tensor);
  request.set_requires_grad(requires_grad);
  return request;
}

v1::StepRequest SgdStep(double lr) {
  v1::StepRequest request;
  request.mutable_sgd()->set_lr(lr);
  request.set_zero_grad(true);
  return request;
}

v1::Command ToCommand(v1::PutRequest request) {
  v1::Command command;
  *command.mutable_put() = std::move(request);
  return command;
}

v1::Command ToCommand(v1::FetchRequest request) {
  v1::Command command;
  *command.mutable_fetch() = std::move(request);
  return command;
}

v1::Command ToCommand(v1::ForwardRequest request) {
  v1::Command command;
  *command.mutable_forward() = std::move(request);
  return command;
}

v1::Command ToCommand(v1::BackwardRequest request) {
  v1::Command command;
  *command.mutable_backward() = std::move(request);
  return command;
}

v1::Command ToCommand(v1::GradientsRequest request) {
  v1::Command command;
  *command.mutable_gradients() = std::move(request);
  return command;
}

v1::Command ToCommand(v1::JvpRequest request) {
  v1::Command command;
  *command.mutable_jvp() = std::move(request);
  return command;
}

v1::Command ToCommand(v1::HvpRequest request) {
  v1::Command command;
  *command.mutable_hvp() = std::move(request);
  return command;
}

v1::Command ToCommand(v1::DetachRequest request) {
  v1::Command command;
  *command.mutable_detach() = std::move(request);
  return command;
}

v1::Command ToCommand(v1::CopyRequest request) {
  v1::Command command;
  *command.mutable_copy() = std::move(request);
  return command;
}

v1::Command ToCommand(v1::DeleteRequest request) {
  v1::Command command;
  *command.mutable_delete_() = std::move(request);
  return command;
}

v1::Command ToCommand(v1::StepRequest request) {
  v1::Command command;
  *command.mutable_step() = std::move(request);
  return command;
}

v1::Command ToCommand(v1::ZeroGradRequest request) {
  v1::Command command;
  *command.mutable_zero_grad() = std::move(request);
  return command;
}

}  // namespace gradwire::client
