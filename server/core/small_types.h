// Elements of 8 bits and fewer that no kernel computes in: floats of 8 and 4 bits, integers of 4
// and 2 bits. They are stored, moved, and converted to and from float. Elements of less than a byte
// are packed: the first of a byte lies in its lowest bits.
//
// Formats and conversions are those of ONNX's Cast: the 8-bit floats of Micikevicius et al., "FP8
// formats for deep learning" (E4M3FN, E5M2), and Noune et al., "8-bit numerical formats for deep
// neural networks" (FNUZ: no negative zero, no infinity); E8M0 and E2M1 of the OCP Microscaling
// specification 1.0.
#ifndef GRADWIRE_CORE_SMALL_TYPES_H_
#define GRADWIRE_CORE_SMALL_TYPES_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "core/dtype.h"

namespace gradwire {

inline constexpr DTypeSet kFloat8s = DType::kFloat8E4M3FN | DType::kFloat8E4M3FNUZ |
                                     DTypeSet(DType::kFloat8E5M2) | DType::kFloat8E5M2FNUZ;
inline constexpr DTypeSet kSmallFloats = kFloat8s | DType::kFloat4E2M1 | DType::kFloat8E8M0;
inline constexpr DTypeSet kSmallInts =
    DType::kUint4 | DType::kInt4 | DTypeSet(DType::kUint2) | DType::kInt2;
inline constexpr DTypeSet kSmall = kSmallFloats | kSmallInts;
// What data movement moves: all that a tensor of real numbers holds.
inline constexpr DTypeSet kReal = kDense | kSmall;

// How a float becomes a small one.
struct SmallRounding {
  // Beyond the largest number: that number; otherwise infinity or NaN, where the type has one.
  bool saturate = true;
  // Of E8M0, which holds powers of two: "up" (away from zero), "down", or "nearest" (ties up). The
  // other types round to nearest, ties to even.
  enum class E8M0 { kUp, kDown, kNearest } e8m0 = E8M0::kUp;
};

// The number that a code of a small type stands for, exactly.
float DecodeSmall(DType dtype, uint8_t code);
// The code for a number. NaN becomes NaN where there is one, negative zero in E2M1. The sign is
// lost in E8M0. Integers are cut off towards zero and keep their lowest bits.
uint8_t EncodeSmall(DType dtype, float x, SmallRounding rounding);

// Smallest and largest number of an integer type, the small ones included.
struct IntLimits {
  double low;
  double high;
};
IntLimits LimitsOf(DType dtype);

// Codes of small elements, one a byte, from and to their place in memory. `first` is the index of
// the first element, and a multiple of the elements in a byte; bits past the last one are zero.
void UnpackCodes(DType dtype, const uint8_t* packed, int64_t first, std::span<uint8_t> codes);
void PackCodes(DType dtype, std::span<const uint8_t> codes, int64_t first, uint8_t* packed);

}  // namespace gradwire

#endif  // GRADWIRE_CORE_SMALL_TYPES_H_
