#include "rpc/wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <initializer_list>

#include "core/error.h"
#include "core/host_tensor.h"

namespace gradwire::rpc {
namespace {

static_assert(std::endian::native == std::endian::little, "payloads are copied as they are");

template <class Proto>
TensorSpec SpecOf(const Proto& proto) {
  TensorSpec spec{DTypeFromCode(proto.data_type()), {proto.dims().begin(), proto.dims().end()}};
  if (BitWidth(spec.dtype) == 0) {
    throw Error(reason::kDtypeMismatch,
                fmt::format("element type {} is not supported", Name(spec.dtype)));
  }
  CheckSpec(spec);
  return spec;
}

[[noreturn]] void WrongSize(const TensorSpec& spec, int64_t got, const char* field) {
  throw Error(reason::kShapeMismatch, fmt::format("a tensor of {} takes {} bytes, {} holds {}",
                                                  ToString(spec), spec.bytes(), field, got));
}

// Copies one of the typed fields, whose entries may be wider than the elements.
template <class Element, class Field>
void CopyField(const Field& field, const char* name, Tensor& to) {
  const auto bytes = static_cast<int64_t>(field.size() * sizeof(Element));
  if (bytes != to.spec().bytes()) WrongSize(to.spec(), bytes, name);
  Element* out = to.mutable_data<Element>();
  for (const auto entry : field) *out++ = static_cast<Element>(entry);
}

void CopyTyped(const v1::TensorProto& proto, Tensor& to) {
  switch (to.dtype()) {
    case DType::kFloat32:
    case DType::kComplex64:
      return CopyField<float>(proto.float_data(), "float_data", to);
    case DType::kFloat64:
    case DType::kComplex128:
      return CopyField<double>(proto.double_data(), "double_data", to);
    case DType::kInt64:
      return CopyField<int64_t>(proto.int64_data(), "int64_data", to);
    case DType::kUint64:
      return CopyField<uint64_t>(proto.uint64_data(), "uint64_data", to);
    case DType::kUint32:
      return CopyField<uint32_t>(proto.uint64_data(), "uint64_data", to);
    case DType::kInt32:
      return CopyField<int32_t>(proto.int32_data(), "int32_data", to);
    default:
      if (BitWidth(to.dtype()) == 16) {
        return CopyField<uint16_t>(proto.int32_data(), "int32_data", to);
      }
      return CopyField<uint8_t>(proto.int32_data(), "int32_data", to);
  }
}

}  // namespace

TensorSpec DecodeSpec(const v1::TensorSpec& proto) { return SpecOf(proto); }

TensorSpec DecodeSpec(const v1::TensorProto& proto) {
  const TensorSpec spec = SpecOf(proto);
  if (proto.data_location() == v1::TensorProto::EXTERNAL) {
    throw Error(reason::kInvalidArgument,
                "external data is for a program's initializers only: send the array itself "
                "(raw_data)");
  }
  if (proto.has_raw_data() && static_cast<int64_t>(proto.raw_data().size()) != spec.bytes()) {
    WrongSize(spec, static_cast<int64_t>(proto.raw_data().size()), "raw_data");
  }
  return spec;
}

Tensor DecodeHost(const v1::TensorProto& proto) {
  const TensorSpec spec = DecodeSpec(proto);
  // Without raw_data the message itself bounds what may be allocated.
  const auto bound = static_cast<int64_t>(proto.ByteSizeLong()) * 8;
  if (!proto.has_raw_data() && spec.bytes() > bound) WrongSize(spec, 0, "the message");
  Tensor tensor = HostTensor(spec);
  if (proto.has_raw_data()) {
    if (tensor.bytes() != 0) {
      std::memcpy(tensor.mutable_data<char>(), proto.raw_data().data(), tensor.bytes());
    }
  } else {
    CopyTyped(proto, tensor);
  }
  return tensor;
}

Tensor Decode(const v1::TensorProto& proto, Stream& stream) try {
  const TensorSpec spec = DecodeSpec(proto);
  if (!proto.has_raw_data()) return OnDevice(DecodeHost(proto), stream);
  Tensor tensor = AllocateTensor(stream, spec);
  stream.Upload(proto.raw_data().data(), *tensor.buffer(), tensor.bytes());
  return tensor;
} catch (Error& error) {
  error.Prefix(fmt::format("tensor '{}': ", proto.name())).With("tensor", proto.name());
  throw;
}

namespace {

template <class Proto>
void CheckElements(const Proto& proto, std::initializer_list<int> known) {
  if (std::find(known.begin(), known.end(), proto.elem_type()) != known.end()) return;
  throw Error(reason::kOpUnsupported,
              fmt::format("'{}' has elements of kind {}: only tensors are supported", proto.name(),
                          proto.elem_type()))
      .With("tensor", proto.name());
}

}  // namespace

Item DecodeItem(const v1::SequenceProto& proto, const DecodeArray& decode) {
  CheckElements(proto, {v1::SequenceProto::UNDEFINED, v1::SequenceProto::TENSOR});
  Sequence sequence;
  try {
    for (const auto& tensor : proto.tensor_values()) {
      sequence.elements.emplace_back(decode(tensor));
    }
    return sequence;
  } catch (Error& error) {
    error.Prefix(fmt::format("sequence '{}': ", proto.name())).With("tensor", proto.name());
    throw;
  }
}

Item DecodeItem(const v1::OptionalProto& proto, const DecodeArray& decode) {
  using Kind = v1::OptionalProto;
  CheckElements(proto, {Kind::UNDEFINED, Kind::TENSOR, Kind::SEQUENCE});
  if (proto.has_sequence_value()) return DecodeItem(proto.sequence_value(), decode);
  if (proto.has_tensor_value()) return Value(decode(proto.tensor_value()));
  return Item::Empty({.sequence = proto.elem_type() == Kind::SEQUENCE});
}

void EncodeSpec(const TensorSpec& spec, v1::TensorSpec* proto) {
  proto->set_data_type(static_cast<int>(spec.dtype));
  proto->mutable_dims()->Assign(spec.dims.begin(), spec.dims.end());
}

Tensor OnDevice(const Tensor& host, Stream& stream) {
  Tensor tensor = AllocateTensor(stream, host.spec());
  stream.Upload(host.data<char>(), *tensor.buffer(), tensor.bytes());
  return tensor;
}

void Encode(const std::string& name, const Tensor& tensor, Stream& stream, v1::TensorProto* proto) {
  proto->set_name(name);
  proto->set_data_type(static_cast<int>(tensor.dtype()));
  proto->mutable_dims()->Assign(tensor.dims().begin(), tensor.dims().end());
  std::string& raw = *proto->mutable_raw_data();
  raw.resize(tensor.bytes());
  stream.Download(*tensor.buffer(), raw.data(), raw.size());
}

void EncodeInfo(const TensorInfo& info, v1::TensorInfo* proto) {
  proto->set_name(info.name);
  EncodeSpec(info.spec, proto->mutable_spec());
  proto->set_requires_grad(info.requires_grad);
  proto->set_is_leaf(info.is_leaf);
  proto->set_grad_fn(info.grad_fn);
  proto->set_grad(info.grad);
  proto->set_device(info.device.name());
  if (info.type.optional) {
    proto->set_kind(v1::EMPTY_OPTIONAL);
  } else if (info.type.sequence) {
    proto->set_kind(v1::SEQUENCE);
  }
  for (const TensorSpec& element : info.elements) EncodeSpec(element, proto->add_elements());
}

std::vector<std::string> Strings(const google::protobuf::RepeatedPtrField<std::string>& strings) {
  return {strings.begin(), strings.end()};
}

}  // namespace gradwire::rpc
