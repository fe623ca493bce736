#include "rpc/model.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

using Attribute = v1::AttributeProto;

// Metadata of a saved program: where its parameters are bound, and their names as a JSON list.
const std::string kPrefixKey = "gradwire.parameter_prefix";
const std::string kParametersKey = "gradwire.parameters";

template <class To, class Field>
std::vector<To> Vector(const Field& field) {
  return {field.begin(), field.end()};
}

// Old exporters leave `type` out; then the one field that is set says it.
Attribute::AttributeType TypeOf(const Attribute& proto) {
  if (proto.type() != Attribute::UNDEFINED) return proto.type();
  if (proto.has_f()) return Attribute::FLOAT;
  if (proto.has_i()) return Attribute::INT;
  if (proto.has_s()) return Attribute::STRING;
  if (proto.has_t()) return Attribute::TENSOR;
  if (proto.has_g()) return Attribute::GRAPH;
  if (proto.floats_size() > 0) return Attribute::FLOATS;
  if (proto.strings_size() > 0) return Attribute::STRINGS;
  return Attribute::INTS;
}

AttributeValue DecodeAttribute(const Attribute& proto) {
  const Attribute::AttributeType type = TypeOf(proto);
  switch (type) {
    case Attribute::FLOAT:
      return static_cast<double>(proto.f());
    case Attribute::INT:
      return int64_t{proto.i()};
    case Attribute::STRING:
      return proto.s();
    case Attribute::TENSOR:
      return DecodeHost(proto.t());
    case Attribute::FLOATS:
      return Vector<double>(proto.floats());
    case Attribute::INTS:
      return Vector<int64_t>(proto.ints());
    case Attribute::STRINGS:
      return Vector<std::string>(proto.strings());
    default:
      throw Error(reason::kOpUnsupported,
                  fmt::format("attribute '{}' of type {} is not supported", proto.name(),
                              Attribute::AttributeType_Name(type)));
  }
}

ValueInfo DecodeValueInfo(const v1::ValueInfoProto& proto) {
  ValueInfo info{proto.name(), DType::kUndefined, std::nullopt};
  const v1::TypeProto::Tensor& tensor = proto.type().tensor_type();
  if (tensor.elem_type() != 0) info.dtype = DTypeFromCode(tensor.elem_type());
  if (!tensor.has_shape()) return info;
  info.dims.emplace();
  for (const auto& dim : tensor.shape().dim()) {
    ValueInfo::Dim& to = info.dims->emplace_back();
    if (dim.has_dim_value()) to.extent = dim.dim_value();
    to.name = dim.dim_param();
  }
  return info;
}

void EncodeValueInfo(const ValueInfo& info, v1::ValueInfoProto* proto) {
  proto->set_name(info.name);
  v1::TypeProto::Tensor& tensor = *proto->mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(static_cast<int>(info.dtype));
  if (!info.dims.has_value()) return;
  tensor.mutable_shape();
  for (const ValueInfo::Dim& dim : *info.dims) {
    auto& to = *tensor.mutable_shape()->add_dim();
    if (dim.extent.has_value()) {
      to.set_dim_value(*dim.extent);
    } else if (!dim.name.empty()) {
      to.set_dim_param(dim.name);
    }
  }
}

ValueInfo InfoOf(const std::string& name, const TensorSpec& spec) {
  ValueInfo info{name, spec.dtype, std::vector<ValueInfo::Dim>()};
  for (const int64_t extent : spec.dims) info.dims->push_back({extent, ""});
  return info;
}

// Each name that a node reads must be made before: by the graph's inputs, its initializers or an
// earlier node.
void CheckNames(const v1::GraphProto& graph) {
  std::set<std::string> known;
  for (const auto& input : graph.input()) known.insert(input.name());
  for (const auto& initializer : graph.initializer()) known.insert(initializer.name());
  for (int i = 0; i < graph.node_size(); ++i) {
    const v1::NodeProto& node = graph.node(i);
    for (const std::string& name : node.input()) {
      if (name.empty() || known.contains(name)) continue;
      throw Error(reason::kInvalidModel,
                  fmt::format("node {} '{}' ({}) reads '{}', which nothing before it makes", i,
                              node.name(), node.op_type(), name));
    }
    known.insert(node.output().begin(), node.output().end());
  }
  for (const auto& output : graph.output()) {
    if (known.contains(output.name())) continue;
    throw Error(reason::kInvalidModel,
                fmt::format("nothing makes the graph's output '{}'", output.name()));
  }
}

void SetMetadata(v1::ModelProto& model, const std::string& key, const std::string& value) {
  for (auto& entry : *model.mutable_metadata_props()) {
    if (entry.key() != key) continue;
    entry.set_value(value);
    return;
  }
  auto& entry = *model.add_metadata_props();
  entry.set_key(key);
  entry.set_value(value);
}

// The model with its initializers turned into inputs.
std::string WithoutWeights(v1::ModelProto model, const std::string& parameter_prefix) {
  v1::GraphProto& graph = *model.mutable_graph();
  std::set<std::string> inputs;
  for (const auto& input : graph.input()) inputs.insert(input.name());
  for (const auto& initializer : graph.initializer()) {
    if (inputs.contains(initializer.name())) continue;
    EncodeValueInfo(InfoOf(initializer.name(), DecodeSpec(initializer)), graph.add_input());
  }
  if (graph.initializer_size() > 0) {
    nlohmann::json parameters = nlohmann::json::array();
    for (const auto& initializer : graph.initializer()) parameters.push_back(initializer.name());
    SetMetadata(model, kPrefixKey, parameter_prefix);
    SetMetadata(model, kParametersKey, parameters.dump());
  }
  graph.clear_initializer();
  return model.SerializeAsString();
}

void CheckVersions(const v1::ModelProto& model) {
  if (model.ir_version() > kMaxIrVersion) {
    throw Error(reason::kInvalidModel,
                fmt::format("IR version {} is newer than {}, the newest that this server knows",
                            model.ir_version(), kMaxIrVersion));
  }
  for (const auto& import : model.opset_import()) {
    const bool is_default = import.domain().empty() || import.domain() == "ai.onnx";
    if (!is_default || import.version() <= kMaxOpset) continue;
    throw Error(reason::kInvalidModel,
                fmt::format("opset {} is newer than {}, the newest that this server knows",
                            import.version(), kMaxOpset));
  }
}

// A program that SaveSession wrote says which of its inputs are parameters.
std::set<std::string> SavedParameters(const v1::ModelProto& model) {
  std::set<std::string> names;
  for (const auto& entry : model.metadata_props()) {
    if (entry.key() != kParametersKey) continue;
    const auto list = nlohmann::json::parse(entry.value(), nullptr, /*allow_exceptions=*/false);
    for (const auto& name : list) {
      if (name.is_string()) names.insert(name.get<std::string>());
    }
  }
  return names;
}

}  // namespace

std::optional<std::string> SavedPrefix(const v1::ModelProto& model) {
  for (const auto& entry : model.metadata_props()) {
    if (entry.key() == kPrefixKey) return entry.value();
  }
  return std::nullopt;
}

OpsetImports DecodeImports(const OpsetProtos& protos) {
  OpsetImports imports;
  for (const auto& proto : protos) {
    imports[proto.domain() == "ai.onnx" ? "" : proto.domain()] = proto.version();
  }
  return imports;
}

NodeDef DecodeNode(const v1::NodeProto& proto, const OpsetImports& imports) {
  NodeDef node{proto.op_type(), proto.name(), Strings(proto.input()), Strings(proto.output()), {},
               nullptr,         std::nullopt};
  ResolveOp(node, proto.domain(), imports);
  try {
    for (const Attribute& attribute : proto.attribute()) {
      node.attributes.Set(attribute.name(), DecodeAttribute(attribute));
    }
  } catch (const Error& error) {
    if (!node.refusal.has_value()) node.refusal = error;
  }
  return node;
}

void CheckModelSize(size_t bytes) {
  if (bytes <= INT32_MAX) return;
  throw Error(reason::kInvalidModel,
              fmt::format("a model has at most {} bytes, {} came: put its weights with PutStream",
                          INT32_MAX, bytes));
}

LoadedProgram DecodeModel(v1::ModelProto model, const std::string& name,
                          const std::string& parameter_prefix) {
  CheckVersions(model);
  const v1::GraphProto& graph = model.graph();
  CheckNames(graph);
  LoadedProgram loaded;
  loaded.program.name = name;
  const OpsetImports imports = DecodeImports(model.opset_import());
  for (const auto& node : graph.node()) loaded.program.nodes.push_back(DecodeNode(node, imports));
  std::set<std::string> parameters = SavedParameters(model);
  for (const auto& initializer : graph.initializer()) {
    parameters.insert(initializer.name());
    loaded.initializers.emplace_back(initializer.name(), DecodeHost(initializer));
  }
  for (const std::string& parameter : parameters) {
    loaded.program.parameters[parameter] = parameter_prefix + parameter;
  }
  for (const auto& input : graph.input()) {
    if (!parameters.contains(input.name())) {
      loaded.program.inputs.push_back(DecodeValueInfo(input));
    }
  }
  for (const auto& output : graph.output()) {
    loaded.program.outputs.push_back(DecodeValueInfo(output));
  }
  loaded.program.onnx = WithoutWeights(std::move(model), parameter_prefix);
  return loaded;
}

void EncodeProgram(const Program& program, v1::ProgramInfo* proto) {
  proto->set_program(program.name);
  for (const ValueInfo& input : program.inputs) EncodeValueInfo(input, proto->add_inputs());
  for (const ValueInfo& output : program.outputs) EncodeValueInfo(output, proto->add_outputs());
  for (const auto& [initializer, name] : program.parameters) proto->add_parameters(name);
  for (std::string& op : program.Operators()) *proto->add_operators() = std::move(op);
  for (std::string& op : program.Unsupported()) *proto->add_unsupported() = std::move(op);
}

}  // namespace gradwire::rpc
