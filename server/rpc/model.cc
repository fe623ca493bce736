#include "rpc/model.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/strings.h"
#include "rpc/functions.h"
#include "rpc/model_check.h"
#include "rpc/sparse.h"
#include "rpc/wire.h"
#include "session/gradient_node.h"

namespace gradwire::rpc {
namespace {

using Attribute = v1::AttributeProto;

// Metadata of a saved program: where its parameters are bound, and their names as a JSON list.
const std::string kPrefixKey = "gradwire.parameter_prefix";
const std::string kParametersKey = "gradwire.parameters";

// Some exporters write this for a dimension that is open.
constexpr int64_t kUnknownExtent = -1;

template <class To, class Field>
std::vector<To> Vector(const Field& field) {
  return {field.begin(), field.end()};
}

Tensor DecodeTensor(const Attribute& proto) {
  try {
    return DecodeHost(proto.t());
  } catch (Error& error) {
    error.Prefix(fmt::format("attribute '{}': ", proto.name()));
    throw;
  }
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
      return DecodeTensor(proto);
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
  TensorSpec smallest{info.dtype, {}};
  for (const auto& dim : tensor.shape().dim()) {
    ValueInfo::Dim& to = info.dims->emplace_back();
    if (dim.has_dim_value() && dim.dim_value() != kUnknownExtent) to.extent = dim.dim_value();
    to.name = dim.dim_param();
    CheckUtf8(to.name);
    smallest.dims.push_back(to.extent.value_or(1));
  }
  CheckSpec(smallest);
  return info;
}

// Of a graph's inputs or outputs.
template <class Protos>
std::vector<ValueInfo> DecodeValueInfos(const Protos& protos, const char* kind,
                                        const std::set<std::string>& leave_out = {}) {
  std::vector<ValueInfo> infos;
  for (const v1::ValueInfoProto& proto : protos) {
    if (leave_out.contains(proto.name())) continue;
    try {
      infos.push_back(DecodeValueInfo(proto));
    } catch (Error& error) {
      error.Prefix(fmt::format("{} '{}': ", kind, proto.name())).With("tensor", proto.name());
      throw;
    }
  }
  return infos;
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

// The array of an initializer, whose bytes may be still to come.
Tensor DecodeInitializer(const v1::TensorProto& proto, Stream& stream, ExternalData& external) {
  if (proto.data_location() != v1::TensorProto::EXTERNAL) return Decode(proto, stream);
  v1::TensorSpec spec;
  spec.set_data_type(proto.data_type());
  *spec.mutable_dims() = proto.dims();
  const TensorSpec decoded = DecodeSpec(spec);
  RequireBytes(decoded, "external data");
  Tensor tensor = AllocateTensor(stream, decoded);
  external.Expect(proto, tensor);
  return tensor;
}

// Takes the initializers out of a graph; each is given back as soon as its bytes are copied.
std::vector<NamedTensor> TakeInitializers(v1::GraphProto& graph, Stream& stream,
                                          ExternalData& external) {
  std::vector<std::unique_ptr<v1::TensorProto>> protos(
      static_cast<size_t>(graph.initializer_size()));
  for (size_t i = protos.size(); i-- > 0;) {
    protos[i].reset(graph.mutable_initializer()->ReleaseLast());
  }
  std::vector<NamedTensor> tensors;
  for (const v1::SparseTensorProto& proto : graph.sparse_initializer()) {
    tensors.emplace_back(proto.values().name(), DecodeSparse(proto, stream));
  }
  graph.clear_sparse_initializer();
  for (auto& proto : protos) {
    try {
      tensors.emplace_back(proto->name(), DecodeInitializer(*proto, stream, external));
    } catch (Error& error) {
      if (error.metadata().contains("tensor")) throw;
      error.Prefix(fmt::format("tensor '{}': ", proto->name())).With("tensor", proto->name());
      throw;
    }
    proto.reset();
  }
  return tensors;
}

// The model, from which its initializers were taken, with these as inputs.
std::string WithoutWeights(v1::ModelProto model, const std::vector<NamedTensor>& initializers,
                           const std::string& parameter_prefix) {
  v1::GraphProto& graph = *model.mutable_graph();
  std::set<std::string> inputs;
  for (const auto& input : graph.input()) inputs.insert(input.name());
  nlohmann::json parameters = nlohmann::json::array();
  for (const auto& [name, tensor] : initializers) {
    parameters.push_back(name);
    if (!inputs.contains(name)) EncodeValueInfo(InfoOf(name, tensor.spec()), graph.add_input());
  }
  if (!initializers.empty()) {
    SetMetadata(model, kPrefixKey, parameter_prefix);
    SetMetadata(model, kParametersKey, parameters.dump());
  }
  return model.SerializeAsString();
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

LoadedProgram DecodeWhole(v1::ModelProto model, const std::string& name,
                          const std::string& parameter_prefix, Stream& stream) {
  // Before IR version 3 there were no imports: all models meant the first opset.
  if (model.ir_version() < 3 && model.opset_import().empty()) {
    model.add_opset_import()->set_version(1);
  }
  CheckModel(model);
  CheckUtf8(parameter_prefix);
  const v1::GraphProto& graph = model.graph();
  LoadedProgram loaded;
  loaded.program.name = name;
  loaded.program.nodes = ExpandNodes(model);
  ResolveGradients(loaded.program.nodes);
  loaded.initializers = TakeInitializers(*model.mutable_graph(), stream, loaded.external);
  std::set<std::string> parameters = SavedParameters(model);
  for (const auto& [initializer, tensor] : loaded.initializers) parameters.insert(initializer);
  for (const std::string& parameter : parameters) {
    loaded.program.parameters[parameter] = parameter_prefix + parameter;
  }
  loaded.program.inputs = DecodeValueInfos(graph.input(), "input", parameters);
  loaded.program.outputs = DecodeValueInfos(graph.output(), "output");
  loaded.program.onnx = WithoutWeights(std::move(model), loaded.initializers, parameter_prefix);
  auto booking = std::make_shared<Booking>();
  booking->Grow(stream.quota(), loaded.program.Bytes());
  loaded.program.booked = std::move(booking);
  return loaded;
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

Attribute::AttributeType TypeOf(const Attribute& proto) {
  if (proto.type() != Attribute::UNDEFINED) return proto.type();
  // The one field that is set says it.
  if (proto.has_f()) return Attribute::FLOAT;
  if (proto.has_i()) return Attribute::INT;
  if (proto.has_s()) return Attribute::STRING;
  if (proto.has_t()) return Attribute::TENSOR;
  if (proto.has_g()) return Attribute::GRAPH;
  if (proto.floats_size() > 0) return Attribute::FLOATS;
  if (proto.strings_size() > 0) return Attribute::STRINGS;
  return Attribute::INTS;
}

NodeDef DecodeNode(const v1::NodeProto& proto, const OpsetImports& imports, int index,
                   const std::string& label) {
  NodeDef node{.op_type = proto.op_type(),
               .label = label,
               .inputs = Strings(proto.input()),
               .outputs = Strings(proto.output()),
               .index = index};
  ResolveOp(node, proto.domain(), imports);
  try {
    for (const Attribute& attribute : proto.attribute()) {
      node.attributes.Set(attribute.name(), DecodeAttribute(attribute));
    }
  } catch (Error& error) {
    if (error.code() != Code::kUnimplemented) {
      Place(error, node);
      throw;
    }
    if (!node.refusal.has_value()) node.refusal = error;
  }
  return node;
}

void CheckModelSize(size_t bytes) {
  if (bytes <= INT32_MAX) return;
  throw Error(
      reason::kInvalidModel,
      fmt::format("a model has at most {} bytes, {} came: keep its weights in external data",
                  INT32_MAX, bytes));
}

LoadedProgram DecodeModel(v1::ModelProto model, const std::string& name,
                          const std::string& parameter_prefix, Stream& stream) {
  try {
    return DecodeWhole(std::move(model), name, parameter_prefix, stream);
  } catch (const Error& error) {
    if (error.code() != Code::kInvalidArgument) throw;
    Error invalid(reason::kInvalidModel, error.message());
    for (const auto& [key, value] : error.metadata()) invalid.With(key, value);
    throw invalid;
  }
}

ValueInfo InfoOf(const std::string& name, const std::optional<TensorSpec>& spec) {
  if (!spec.has_value()) return {name, DType::kUndefined, std::nullopt};
  ValueInfo info{name, spec->dtype, std::vector<ValueInfo::Dim>()};
  for (const int64_t extent : spec->dims) info.dims->push_back({extent, ""});
  return info;
}

void EncodeValueInfo(const ValueInfo& info, v1::ValueInfoProto* proto) {
  proto->set_name(info.name);
  if (info.dtype == DType::kUndefined) return;
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

void EncodeProgram(const Program& program, v1::ProgramInfo* proto) {
  proto->set_program(program.name);
  for (const ValueInfo& input : program.inputs) EncodeValueInfo(input, proto->add_inputs());
  for (const ValueInfo& output : program.outputs) EncodeValueInfo(output, proto->add_outputs());
  for (const auto& [initializer, name] : program.parameters) proto->add_parameters(name);
  for (std::string& op : program.Operators()) *proto->add_operators() = std::move(op);
  for (std::string& op : program.Unsupported()) *proto->add_unsupported() = std::move(op);
  for (std::string& op : program.NotDifferentiable()) {
    *proto->add_not_differentiable() = std::move(op);
  }
  for (std::string& dim : program.DynamicDims()) *proto->add_dynamic_dims() = std::move(dim);
  if (program.vjp != nullptr) proto->set_vjp(program.vjp->name);
}

}  // namespace gradwire::rpc
