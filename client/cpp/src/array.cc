#include "gradwire/client/array.h"

#include <cstring>
#include <limits>
#include <utility>

#include "gradwire/client/error.h"

namespace gradwire::client {
namespace {

// 0 for what has no fixed width.
int BitWidth(DataType type) {
  switch (type) {
    case v1::TensorProto_DataType_UINT2:
    case v1::TensorProto_DataType_INT2:
      return 2;
    case v1::TensorProto_DataType_UINT4:
    case v1::TensorProto_DataType_INT4:
    case v1::TensorProto_DataType_FLOAT4E2M1:
      return 4;
    case v1::TensorProto_DataType_UINT8:
    case v1::TensorProto_DataType_INT8:
    case v1::TensorProto_DataType_BOOL:
    case v1::TensorProto_DataType_FLOAT8E4M3FN:
    case v1::TensorProto_DataType_FLOAT8E4M3FNUZ:
    case v1::TensorProto_DataType_FLOAT8E5M2:
    case v1::TensorProto_DataType_FLOAT8E5M2FNUZ:
    case v1::TensorProto_DataType_FLOAT8E8M0:
      return 8;
    case v1::TensorProto_DataType_UINT16:
    case v1::TensorProto_DataType_INT16:
    case v1::TensorProto_DataType_FLOAT16:
    case v1::TensorProto_DataType_BFLOAT16:
      return 16;
    case v1::TensorProto_DataType_FLOAT:
    case v1::TensorProto_DataType_INT32:
    case v1::TensorProto_DataType_UINT32:
      return 32;
    case v1::TensorProto_DataType_DOUBLE:
    case v1::TensorProto_DataType_INT64:
    case v1::TensorProto_DataType_UINT64:
    case v1::TensorProto_DataType_COMPLEX64:
      return 64;
    case v1::TensorProto_DataType_COMPLEX128:
      return 128;
    default:
      return 0;
  }
}

std::string TypeName(DataType type) {
  const std::string& name = v1::TensorProto_DataType_Name(type);
  return name.empty() ? std::to_string(static_cast<int>(type)) : name;
}

}  // namespace

size_t ByteSize(DataType type, std::span<const int64_t> dims) {
  const int width = BitWidth(type);
  if (width == 0) {
    Throw(Reason::kInvalidArgument, "arrays of " + TypeName(type) + " have no fixed width");
  }
  // The largest count whose bits can be counted.
  constexpr size_t kMaxCount = std::numeric_limits<size_t>::max() / 128;
  size_t count = 1;
  for (const int64_t dim : dims) {
    if (dim < 0) Throw(Reason::kInvalidArgument, "extent " + std::to_string(dim) + " is negative");
    if (dim != 0 && count > kMaxCount / static_cast<size_t>(dim)) {
      Throw(Reason::kInvalidArgument, "the extents' product overflows");
    }
    count *= static_cast<size_t>(dim);
  }
  return (count * static_cast<size_t>(width) + 7) / 8;
}

Array::Array(std::string name, DataType type, Dims dims)
    : name_(std::move(name)),
      type_(type),
      dims_(std::move(dims)),
      size_(ByteSize(type, dims_)),
      data_(std::make_unique_for_overwrite<std::byte[]>(size_)) {}

void Array::CheckType(DataType wanted) const {
  if (wanted == type_) return;
  Throw(Reason::kDtypeMismatch,
        "tensor '" + name_ + "' is " + TypeName(type_) + ", read as " + TypeName(wanted),
        {{"tensor", name_}});
}

void Array::CheckItem() const {
  if (size_ * 8 == static_cast<size_t>(BitWidth(type_))) return;
  Throw(Reason::kShapeMismatch, "tensor '" + name_ + "' does not have one element",
        {{"tensor", name_}});
}

v1::TensorProto ToProto(const ArrayView& view) {
  v1::TensorProto proto;
  proto.set_name(view.name);
  proto.set_data_type(view.type);
  proto.mutable_dims()->Add(view.dims.begin(), view.dims.end());
  proto.set_raw_data(view.bytes.data(), view.bytes.size());
  return proto;
}

Array FromProto(const v1::TensorProto& proto) {
  Array array(proto.name(), static_cast<DataType>(proto.data_type()),
              Dims(proto.dims().begin(), proto.dims().end()));
  if (proto.raw_data().size() != array.bytes().size()) {
    Throw(Reason::kShapeMismatch,
          "tensor '" + proto.name() + "' takes " + std::to_string(array.bytes().size()) +
              " bytes, raw_data has " + std::to_string(proto.raw_data().size()),
          {{"tensor", proto.name()}});
  }
  if (!proto.raw_data().empty()) {
    std::memcpy(array.mutable_bytes().data(), proto.raw_data().data(), proto.raw_data().size());
  }
  return array;
}

}  // namespace gradwire::client
