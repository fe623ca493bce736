#include "core/small_types.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace gradwire {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A float of sign, exponent and mantissa. Codes are those without the sign.
struct Format {
  DType dtype;
  int bits;
  int mantissa;
  int bias;
  uint8_t largest;   // code of the largest number
  uint8_t overflow;  // what lies beyond it: infinity, NaN, or the largest number itself
  uint8_t nan;
  bool negative_zero;  // without it, its code is NaN's
};

constexpr std::array kFormats = {
    Format{DType::kFloat8E4M3FN, 8, 3, 7, 0x7e, 0x7f, 0x7f, true},
    Format{DType::kFloat8E4M3FNUZ, 8, 3, 8, 0x7f, 0x80, 0x80, false},
    Format{DType::kFloat8E5M2, 8, 2, 15, 0x7b, 0x7c, 0x7e, true},
    Format{DType::kFloat8E5M2FNUZ, 8, 2, 16, 0x7f, 0x80, 0x80, false},
    Format{DType::kFloat4E2M1, 4, 1, 1, 0x7, 0x7, 0x8, true},
};

const Format* FormatOf(DType dtype) {
  for (const Format& format : kFormats) {
    if (format.dtype == dtype) return &format;
  }
  return nullptr;
}

float DecodeFloat(const Format& format, uint8_t code) {
  const auto sign_bit = static_cast<uint8_t>(1u << (format.bits - 1));
  if (code == sign_bit && !format.negative_zero) return kNan;
  const auto magnitude = static_cast<uint8_t>(code & (sign_bit - 1u));
  const float sign = (code & sign_bit) != 0 ? -1.0f : 1.0f;
  if (magnitude > format.largest) {
    return magnitude == format.overflow && format.overflow != format.nan
               ? sign * kInfinity
               : std::copysign(kNan, sign);
  }
  const int exponent = magnitude >> format.mantissa;
  const int steps = magnitude & ((1 << format.mantissa) - 1);
  const int hidden = exponent == 0 ? 0 : 1 << format.mantissa;
  const int scale = std::max(exponent, 1) - format.bias - format.mantissa;
  return sign * std::ldexp(static_cast<float>(hidden + steps), scale);
}

// Counts the steps of the type's grid around x. A count that rounds up to the next power of two
// carries into the exponent, as it should.
uint8_t EncodeFloat(const Format& format, float x, bool saturate) {
  const auto sign_bit = static_cast<uint8_t>(std::signbit(x) ? 1u << (format.bits - 1) : 0u);
  const bool one_nan = !format.negative_zero || format.nan >= 1u << (format.bits - 1);
  if (std::isnan(x)) return one_nan ? format.nan : format.nan | sign_bit;
  if (x == 0) return format.negative_zero ? sign_bit : 0;
  int64_t magnitude = INT64_MAX;
  if (!std::isinf(x)) {
    const int exponent = std::max(std::ilogb(x), 1 - format.bias);
    const double steps = std::nearbyint(std::ldexp(std::fabs(double{x}),  //
                                                   format.mantissa - exponent));
    magnitude = (int64_t{exponent + format.bias - 1} << format.mantissa) + int64_t(steps);
  }
  if (magnitude == 0) return format.negative_zero ? sign_bit : 0;
  if (magnitude <= format.largest) return static_cast<uint8_t>(magnitude) | sign_bit;
  if (saturate) return format.largest | sign_bit;
  return format.negative_zero ? format.overflow | sign_bit : format.overflow;
}

constexpr uint8_t kE8M0Largest = 254;
constexpr uint8_t kE8M0Nan = 255;
constexpr int kE8M0Bias = 127;

uint8_t EncodeE8M0(float x, SmallRounding rounding) {
  if (std::isnan(x)) return kE8M0Nan;
  const uint8_t too_large = rounding.saturate ? kE8M0Largest : kE8M0Nan;
  if (std::isinf(x)) return too_large;
  int exponent = 0;
  const float half = std::frexp(std::fabs(x), &exponent);  // in [0.5, 1)
  --exponent;
  if (x == 0 || exponent < -kE8M0Bias) return rounding.saturate ? 0 : kE8M0Nan;
  const bool up = rounding.e8m0 == SmallRounding::E8M0::kUp && half > 0.5f;
  const bool nearest_is_up = rounding.e8m0 == SmallRounding::E8M0::kNearest && half >= 0.75f;
  if (up || nearest_is_up) ++exponent;
  return exponent > kE8M0Bias ? too_large : static_cast<uint8_t>(exponent + kE8M0Bias);
}

bool IsSigned(DType dtype) { return dtype == DType::kInt4 || dtype == DType::kInt2; }

float Decode(DType dtype, uint8_t code) {
  if (const Format* format = FormatOf(dtype)) return DecodeFloat(*format, code);
  if (dtype == DType::kFloat8E8M0) {
    return code == kE8M0Nan ? kNan : std::ldexp(1.0f, code - kE8M0Bias);
  }
  const int values = 1 << BitWidth(dtype);
  return static_cast<float>(IsSigned(dtype) && code >= values / 2 ? code - values : code);
}

using Codebook = std::array<float, 256>;

// Of each small type, by its code.
const std::array<Codebook, kDTypeCount>& Codebooks() {
  static const auto* books = [] {
    auto* made = new std::array<Codebook, kDTypeCount>{};
    for (int i = 1; i < kDTypeCount; ++i) {
      const auto dtype = static_cast<DType>(i);
      if (!kSmall.Contains(dtype)) continue;
      for (int code = 0; code < 1 << BitWidth(dtype); ++code) {
        (*made)[size_t(i)][size_t(code)] = Decode(dtype, static_cast<uint8_t>(code));
      }
    }
    return made;
  }();
  return *books;
}

}  // namespace

float DecodeSmall(DType dtype, uint8_t code) { return Codebooks()[size_t(dtype)][code]; }

uint8_t EncodeSmall(DType dtype, float x, SmallRounding rounding) {
  if (dtype == DType::kFloat8E8M0) return EncodeE8M0(x, rounding);
  if (const Format* format = FormatOf(dtype)) return EncodeFloat(*format, x, rounding.saturate);
  const bool fits = std::fabs(x) < 2147483648.0f;  // not NaN either
  const auto cut = static_cast<uint32_t>(fits ? static_cast<int32_t>(x) : 0);
  return static_cast<uint8_t>(cut & ((1u << BitWidth(dtype)) - 1));
}

IntLimits LimitsOf(DType dtype) {
  if (kSmallInts.Contains(dtype)) {
    const double values = 1 << BitWidth(dtype);
    return IsSigned(dtype) ? IntLimits{-values / 2, values / 2 - 1} : IntLimits{0, values - 1};
  }
  IntLimits limits{};
  Dispatch(IntTypes{}, dtype, [&]<class T>() {
    limits = {static_cast<double>(std::numeric_limits<T>::min()),
              static_cast<double>(std::numeric_limits<T>::max())};
  });
  return limits;
}

void UnpackCodes(DType dtype, const uint8_t* packed, int64_t first, std::span<uint8_t> codes) {
  const int bits = BitWidth(dtype);
  const int per_byte = 8 / bits;
  const unsigned mask = (1u << bits) - 1;
  const uint8_t* from = packed + first / per_byte;
  for (size_t i = 0; i < codes.size(); ++i) {
    const int place = static_cast<int>(i) % per_byte;
    codes[i] = static_cast<uint8_t>((from[i / size_t(per_byte)] >> (place * bits)) & mask);
  }
}

void PackCodes(DType dtype, std::span<const uint8_t> codes, int64_t first, uint8_t* packed) {
  const int bits = BitWidth(dtype);
  const auto per_byte = static_cast<size_t>(8 / bits);
  uint8_t* to = packed + first / int64_t(per_byte);
  for (size_t i = 0; i < codes.size(); i += per_byte) {
    unsigned byte = 0;
    for (size_t k = 0; k < per_byte && i + k < codes.size(); ++k) {
      byte |= static_cast<unsigned>(codes[i + k]) << (k * size_t(bits));
    }
    *to++ = static_cast<uint8_t>(byte);
  }
}

}  // namespace gradwire
