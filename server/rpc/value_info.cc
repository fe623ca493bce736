#include "rpc/value_info.h"

#include <fmt/format.h>

#include <optional>

#include "core/error.h"
#include "rpc/model_check.h"

namespace gradwire::rpc {
namespace {

// Some exporters write this for a dimension that is open.
constexpr int64_t kUnknownExtent = -1;

void DecodeDims(const v1::TypeProto::Tensor& tensor, ValueInfo& info) {
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
}

}  // namespace

ItemType DecodeType(const v1::TypeProto& proto) {
  const auto refuse = [](const char* what, const ItemType& of) {
    throw Error(reason::kOpUnsupported, fmt::format("{} {} is not supported", what, ToString(of)));
  };
  if (proto.has_sequence_type()) {
    ItemType type = DecodeType(proto.sequence_type().elem_type());
    if (type.sequence || type.optional) refuse("a sequence of", type);
    type.sequence = true;
    return type;
  }
  if (proto.has_optional_type()) {
    ItemType type = DecodeType(proto.optional_type().elem_type());
    if (type.optional) refuse("an optional of", type);
    type.optional = true;
    return type;
  }
  const int code = proto.tensor_type().elem_type();
  return {code == 0 ? DType::kUndefined : DTypeFromCode(code)};
}

ValueInfo DecodeValueInfo(const v1::ValueInfoProto& proto) {
  const ItemType type = DecodeType(proto.type());
  ValueInfo info{proto.name(), type.dtype, std::nullopt, type.sequence, type.optional};
  if (proto.type().tensor_type().has_shape()) DecodeDims(proto.type().tensor_type(), info);
  return info;
}

std::vector<ValueInfo> DecodeValueInfos(
    const google::protobuf::RepeatedPtrField<v1::ValueInfoProto>& protos, const char* kind,
    const std::set<std::string>& leave_out) {
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

void EncodeValueInfo(const ValueInfo& info, v1::ValueInfoProto* proto) {
  proto->set_name(info.name);
  if (info.dtype == DType::kUndefined && !info.sequence && !info.optional) return;
  v1::TypeProto* type = proto->mutable_type();
  if (info.optional) type = type->mutable_optional_type()->mutable_elem_type();
  if (info.sequence) type = type->mutable_sequence_type()->mutable_elem_type();
  v1::TypeProto::Tensor& tensor = *type->mutable_tensor_type();
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

}  // namespace gradwire::rpc
