// Arrays on the client's side: views of the caller's memory, and arrays that own theirs.
#ifndef GRADWIRE_CLIENT_ARRAY_H_
#define GRADWIRE_CLIENT_ARRAY_H_

#include <complex>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradwire/v1/onnx.pb.h"

namespace gradwire::client {

using DataType = v1::TensorProto_DataType;
using Dims = std::vector<int64_t>;

// The element type of a C++ type. 16-bit and smaller floats have no C++ type here: their arrays are
// built from bytes.
template <class T>
inline constexpr DataType kDataTypeOf = v1::TensorProto_DataType_UNDEFINED;
template <>
inline constexpr DataType kDataTypeOf<float> = v1::TensorProto_DataType_FLOAT;
template <>
inline constexpr DataType kDataTypeOf<double> = v1::TensorProto_DataType_DOUBLE;
template <>
inline constexpr DataType kDataTypeOf<int8_t> = v1::TensorProto_DataType_INT8;
template <>
inline constexpr DataType kDataTypeOf<int16_t> = v1::TensorProto_DataType_INT16;
template <>
inline constexpr DataType kDataTypeOf<int32_t> = v1::TensorProto_DataType_INT32;
template <>
inline constexpr DataType kDataTypeOf<int64_t> = v1::TensorProto_DataType_INT64;
template <>
inline constexpr DataType kDataTypeOf<uint8_t> = v1::TensorProto_DataType_UINT8;
template <>
inline constexpr DataType kDataTypeOf<uint16_t> = v1::TensorProto_DataType_UINT16;
template <>
inline constexpr DataType kDataTypeOf<uint32_t> = v1::TensorProto_DataType_UINT32;
template <>
inline constexpr DataType kDataTypeOf<uint64_t> = v1::TensorProto_DataType_UINT64;
template <>
inline constexpr DataType kDataTypeOf<bool> = v1::TensorProto_DataType_BOOL;
template <>
inline constexpr DataType kDataTypeOf<std::complex<float>> = v1::TensorProto_DataType_COMPLEX64;
template <>
inline constexpr DataType kDataTypeOf<std::complex<double>> = v1::TensorProto_DataType_COMPLEX128;

template <class T>
concept Element = kDataTypeOf<T> != v1::TensorProto_DataType_UNDEFINED;

// How many bytes an array has on the wire: sub-byte types are packed, first element in the low
// bits. Throws INVALID_ARGUMENT for a negative extent, for STRING (whose arrays travel in
// TensorProto.string_data: use the unary verbs) and for codes that are no element type.
size_t ByteSize(DataType type, std::span<const int64_t> dims);

// A named array in the caller's memory: little-endian, row-major.
struct ArrayView {
  std::string name;
  DataType type = v1::TensorProto_DataType_UNDEFINED;
  Dims dims;
  std::span<const std::byte> bytes;
};

// A view of `values` as an array of extents `dims`; no dims means a scalar.
template <Element T>
ArrayView View(std::string name, Dims dims, std::span<const T> values) {
  return {std::move(name), kDataTypeOf<T>, std::move(dims), std::as_bytes(values)};
}

// An array that owns its memory; movable.
class Array {
 public:
  Array() = default;
  // Allocates without writing.
  Array(std::string name, DataType type, Dims dims);

  const std::string& name() const { return name_; }
  DataType type() const { return type_; }
  const Dims& dims() const { return dims_; }
  std::span<const std::byte> bytes() const { return {data_.get(), size_}; }
  std::span<std::byte> mutable_bytes() { return {data_.get(), size_}; }

  // Its elements, in row-major order. Throws DTYPE_MISMATCH when T is not its element type.
  template <Element T>
  std::span<const T> values() const {
    CheckType(kDataTypeOf<T>);
    return {reinterpret_cast<const T*>(data_.get()), size_ / sizeof(T)};
  }
  // The element of an array that has one. Throws DTYPE_MISMATCH, SHAPE_MISMATCH.
  template <Element T>
  T item() const {
    CheckItem();
    return values<T>().front();
  }

 private:
  void CheckType(DataType wanted) const;
  void CheckItem() const;

  std::string name_;
  DataType type_ = v1::TensorProto_DataType_UNDEFINED;
  Dims dims_;
  size_t size_ = 0;
  std::unique_ptr<std::byte[]> data_;
};

// An array for a request's field (Put, feeds, seeds): copies the bytes.
v1::TensorProto ToProto(const ArrayView& view);
template <Element T>
v1::TensorProto ToProto(std::string name, Dims dims, std::span<const T> values) {
  return ToProto(View(std::move(name), std::move(dims), values));
}
// An array that a response brought in raw_data: copies the bytes.
Array FromProto(const v1::TensorProto& proto);

}  // namespace gradwire::client

#endif  // GRADWIRE_CLIENT_ARRAY_H_
