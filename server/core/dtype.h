// Element types: the codes of onnx.TensorProto.DataType, sets of them, and dispatch to C++ types.
#ifndef GRADWIRE_CORE_DTYPE_H_
#define GRADWIRE_CORE_DTYPE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/error.h"
#include "core/half.h"

namespace gradwire {

enum class DType : int8_t {
  kUndefined = 0,
  kFloat32 = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kFloat64 = 11,
  kUint32 = 12,
  kUint64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kBfloat16 = 16,
  kFloat8E4M3FN = 17,
  kFloat8E4M3FNUZ = 18,
  kFloat8E5M2 = 19,
  kFloat8E5M2FNUZ = 20,
  kUint4 = 21,
  kInt4 = 22,
  kFloat4E2M1 = 23,
  kFloat8E8M0 = 24,
  kUint2 = 25,
  kInt2 = 26,
};
inline constexpr int kDTypeCount = 27;

// Bits an element takes in memory and, but for kString (core/strings.h), on the wire; 0 for
// kUndefined.
int BitWidth(DType dtype);
// "float32", "int64", "bfloat16": NumPy's spelling where it has one.
std::string_view Name(DType dtype);
// Throws DTYPE_MISMATCH when `code` is no element type.
DType DTypeFromCode(int code);

// A set of element types.
class DTypeSet {
 public:
  constexpr DTypeSet() = default;
  constexpr DTypeSet(DType dtype) : bits_(1u << static_cast<int>(dtype)) {}  // NOLINT: a set of one

  constexpr bool Contains(DType dtype) const {
    return ((bits_ >> static_cast<int>(dtype)) & 1u) != 0;
  }
  constexpr DTypeSet operator|(DTypeSet other) const { return FromBits(bits_ | other.bits_); }
  constexpr DTypeSet operator&(DTypeSet other) const { return FromBits(bits_ & other.bits_); }
  constexpr bool empty() const { return bits_ == 0; }
  // "float32, float64".
  std::string ToString() const;

 private:
  static constexpr DTypeSet FromBits(uint32_t bits) {
    DTypeSet set;
    set.bits_ = bits;
    return set;
  }
  uint32_t bits_ = 0;
};

constexpr DTypeSet operator|(DType a, DType b) { return DTypeSet(a) | DTypeSet(b); }

// The types that kernels compute in. 16-bit floats are storage: see Apply.
inline constexpr DTypeSet kFloats = DType::kFloat32 | DType::kFloat64;
inline constexpr DTypeSet kHalves = DType::kFloat16 | DType::kBfloat16;
inline constexpr DTypeSet kSignedInts =
    DType::kInt8 | DType::kInt16 | DTypeSet(DType::kInt32) | DType::kInt64;
inline constexpr DTypeSet kUnsignedInts =
    DType::kUint8 | DType::kUint16 | DTypeSet(DType::kUint32) | DType::kUint64;
inline constexpr DTypeSet kInts = kSignedInts | kUnsignedInts;
inline constexpr DTypeSet kNumbers = kFloats | kInts;
inline constexpr DTypeSet kBool = DType::kBool;
inline constexpr DTypeSet kDense = kNumbers | kBool | kHalves;
// What kernels move by the width of an element.
inline constexpr DTypeSet kMoved = kDense | DType::kString;
// All that a tensor holds.
inline constexpr DTypeSet kAnyType =
    kMoved | (DType::kComplex64 | DType::kComplex128) |
    (DType::kFloat8E4M3FN | DType::kFloat8E4M3FNUZ) |
    (DType::kFloat8E5M2 | DType::kFloat8E5M2FNUZ) | (DType::kUint4 | DType::kInt4) |
    (DType::kFloat4E2M1 | DType::kFloat8E8M0) | (DType::kUint2 | DType::kInt2);
inline constexpr DTypeSet kGradTypes =
    kFloats | kHalves | (DType::kComplex64 | DType::kComplex128);  // may require grad

template <class... Ts>
struct TypeList {};
using FloatTypes = TypeList<float, double>;
using SignedTypes = TypeList<float, double, int8_t, int16_t, int32_t, int64_t>;
using IntTypes = TypeList<int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t>;
using NumberTypes = TypeList<float, double, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t,
                             uint32_t, uint64_t>;
using DenseTypes = TypeList<float, double, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t,
                            uint32_t, uint64_t, bool, Float16, BFloat16>;

template <class T>
constexpr DType DTypeOf() {
  if constexpr (std::is_same_v<T, float>) return DType::kFloat32;
  if constexpr (std::is_same_v<T, double>) return DType::kFloat64;
  if constexpr (std::is_same_v<T, int8_t>) return DType::kInt8;
  if constexpr (std::is_same_v<T, int16_t>) return DType::kInt16;
  if constexpr (std::is_same_v<T, int32_t>) return DType::kInt32;
  if constexpr (std::is_same_v<T, int64_t>) return DType::kInt64;
  if constexpr (std::is_same_v<T, uint8_t>) return DType::kUint8;
  if constexpr (std::is_same_v<T, uint16_t>) return DType::kUint16;
  if constexpr (std::is_same_v<T, uint32_t>) return DType::kUint32;
  if constexpr (std::is_same_v<T, uint64_t>) return DType::kUint64;
  if constexpr (std::is_same_v<T, bool>) return DType::kBool;
  if constexpr (std::is_same_v<T, Float16>) return DType::kFloat16;
  if constexpr (std::is_same_v<T, BFloat16>) return DType::kBfloat16;
  if constexpr (std::is_same_v<T, std::string_view>) return DType::kString;
}

// Calls f.operator()<T>() with the T of `Types` that `dtype` stands for:
//   Dispatch(FloatTypes{}, dtype, [&]<class T>() { Kernel<T>(...); });
// Throws OP_UNSUPPORTED when the list has none.
template <class F, class... Ts>
void Dispatch(TypeList<Ts...>, DType dtype, F&& f) {
  const bool found =
      ((DTypeOf<Ts>() == dtype ? (f.template operator()<Ts>(), true) : false) || ...);
  if (!found) {
    throw Error(reason::kOpUnsupported, "no kernel for element type " + std::string(Name(dtype)));
  }
}

}  // namespace gradwire

#endif  // GRADWIRE_CORE_DTYPE_H_
