#include "rpc/wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "backend/on_host.h"
#include "core/bools.h"
#include "core/copy.h"
#include "core/error.h"
#include "core/host_tensor.h"
#include "core/strings.h"

namespace gradwire::rpc {
namespace {

static_assert(std::endian::native == std::endian::little, "payloads are copied as they are");

template <class Proto>
TensorSpec SpecOf(const Proto& proto) {
  TensorSpec spec{DTypeFromCode(proto.data_type()), {proto.dims().begin(), proto.dims().end()}};
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
    case DType::kBool:
      return CopyField<bool>(proto.int32_data(), "int32_data", to);
    default:
      if (BitWidth(to.dtype()) == 16) {
        return CopyField<uint16_t>(proto.int32_data(), "int32_data", to);
      }
      return CopyField<uint8_t>(proto.int32_data(), "int32_data", to);
  }
}

void CheckStrings(const v1::TensorProto& proto, const TensorSpec& spec, bool has_raw_data) {
  if (has_raw_data) {
    throw Error(reason::kInvalidArgument, "strings come in string_data, not in raw_data");
  }
  if (proto.string_data_size() != spec.numel()) {
    throw Error(reason::kShapeMismatch,
                fmt::format("a tensor of {} has {} elements, string_data holds {}", ToString(spec),
                            spec.numel(), proto.string_data_size()));
  }
  for (int i = 0; i < proto.string_data_size(); ++i) {
    RequireUtf8(proto.string_data(i), fmt::format("element {} of string_data", i));
  }
}

Tensor DecodeStrings(const v1::TensorProto& proto, const TensorSpec& spec,
                     const AllocateBytes& allocate) {
  const std::vector<std::string_view> texts(proto.string_data().begin(), proto.string_data().end());
  return MakeStrings(spec.dims, texts, allocate);
}

AllocateBytes From(Stream& stream) {
  return [&stream](size_t bytes) { return stream.Allocate(bytes); };
}

}  // namespace

TensorSpec DecodeSpec(const v1::TensorSpec& proto) { return SpecOf(proto); }

TensorSpec DecodeSpec(const v1::TensorProto& proto, const Payloads& payloads) {
  const TensorSpec spec = SpecOf(proto);
  const Pieces* beside = payloads.Beside(proto);
  const bool has_raw_data = proto.has_raw_data() || beside != nullptr;
  if (proto.data_location() == v1::TensorProto::EXTERNAL) {
    throw Error(reason::kInvalidArgument,
                "external data is for a program's initializers only: send the array itself "
                "(raw_data)");
  }
  if (spec.dtype == DType::kString) {
    CheckStrings(proto, spec, has_raw_data);
    return spec;
  }
  const size_t bytes = beside != nullptr ? BytesIn(*beside) : proto.raw_data().size();
  if (has_raw_data && static_cast<int64_t>(bytes) != spec.bytes()) {
    WrongSize(spec, static_cast<int64_t>(bytes), "raw_data");
  }
  return spec;
}

Tensor DecodeHost(const v1::TensorProto& proto) {
  const TensorSpec spec = DecodeSpec(proto);
  if (spec.dtype == DType::kString) return DecodeStrings(proto, spec, HostBuffer::Make);
  // Without raw_data the message itself bounds what may be allocated.
  const auto bound = static_cast<int64_t>(proto.ByteSizeLong()) * 8;
  if (!proto.has_raw_data() && spec.bytes() > bound) WrongSize(spec, 0, "the message");
  Tensor tensor = HostTensor(spec);
  if (proto.has_raw_data()) {
    if (tensor.bytes() != 0) {
      std::memcpy(tensor.mutable_data<char>(), proto.raw_data().data(), tensor.bytes());
      MakeBoolsValid(tensor);
    }
  } else {
    CopyTyped(proto, tensor);
  }
  return tensor;
}

Tensor Decode(const v1::TensorProto& proto, Stream& stream, const Payloads& payloads) try {
  const TensorSpec spec = DecodeSpec(proto, payloads);
  if (spec.dtype == DType::kString) return DecodeStrings(proto, spec, From(stream));
  if (const Pieces* beside = payloads.Beside(proto)) {
    Tensor host = AllocateTensor(stream.host(), spec);
    CopyPieces(host.mutable_data<std::byte>(), *beside);
    MakeBoolsValid(host);
    return FromHost(std::move(host), stream);
  }
  if (!proto.has_raw_data() || spec.dtype == DType::kBool) {
    return OnDevice(DecodeHost(proto), stream);
  }
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
  if (host.dtype() == DType::kString) return MakeStrings(host.dims(), Texts(host), From(stream));
  Tensor tensor = AllocateTensor(stream, host.spec());
  stream.Upload(host.data<char>(), *tensor.buffer(), tensor.bytes());
  return tensor;
}

namespace {

void EncodeType(const Tensor& tensor, v1::TensorProto* proto) {
  proto->set_data_type(static_cast<int>(tensor.dtype()));
  proto->mutable_dims()->Assign(tensor.dims().begin(), tensor.dims().end());
}

}  // namespace

void EncodeHost(const Tensor& tensor, v1::TensorProto* proto) {
  EncodeType(tensor, proto);
  if (tensor.dtype() != DType::kString) {
    proto->set_raw_data(tensor.data<char>(), tensor.bytes());
    return;
  }
  for (const std::string_view text : Texts(tensor)) {
    proto->add_string_data(text.data(), text.size());
  }
}

void Encode(const std::string& name, const Tensor& tensor, Stream& stream, Payloads& payloads,
            v1::TensorProto* proto) {
  const Tensor host = OnHost(tensor, stream);
  proto->set_name(name);
  if (host.dtype() != DType::kString && payloads.Attach(*proto, host)) {
    EncodeType(host, proto);
  } else {
    EncodeHost(host, proto);
  }
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
