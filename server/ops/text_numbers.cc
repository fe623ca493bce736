#include "ops/text_numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <type_traits>

#include "absl/strings/numbers.h"
#include "core/dtype.h"
#include "core/utf8.h"
#include "ops/functors.h"

namespace gradwire {
namespace {

[[noreturn]] void Refuse(std::string_view text, DType dtype) {
  throw Error(reason::kInvalidArgument,
              fmt::format("'{}' is not a number that {} holds", ToUtf8(text), Name(dtype)));
}

double ParseDouble(std::string_view text, DType dtype) {
  double number = 0;
  if (!absl::SimpleAtod({text.data(), text.size()}, &number)) Refuse(text, dtype);
  return number;
}

template <class T>
T ParseInteger(std::string_view text) {
  using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
  using Limits = std::numeric_limits<T>;
  Wide number = 0;
  if (!absl::SimpleAtoi({text.data(), text.size()}, &number)) {
    const double cut = std::trunc(ParseDouble(text, DTypeOf<T>()));
    // 2^digits is above all that T holds, and a double.
    const double end = std::ldexp(1.0, Limits::digits);
    if (!(cut < end && cut >= (std::is_signed_v<T> ? -end : 0.0))) Refuse(text, DTypeOf<T>());
    return static_cast<T>(cut);
  }
  if (number < Wide{Limits::min()} || number > Wide{Limits::max()}) Refuse(text, DTypeOf<T>());
  return static_cast<T>(number);
}

// The fewest digits, as one digit, the others, and the exponent of 10: "3.14e+00".
template <class T>
std::string Scientific(T number) {
  std::array<char, 64> text;
  const auto write = [&](auto value, auto... precision) {
    const auto end =
        std::to_chars(text.begin(), text.end(), value, std::chars_format::scientific, precision...);
    return std::string_view(text.data(), static_cast<size_t>(end.ptr - text.data()));
  };
  if constexpr (std::is_floating_point_v<T>) {
    return std::string(write(number));
  } else {
    // The library has no digits for 16 bits: the first precision that leads back is the least.
    const auto wide = static_cast<float>(number);
    for (int precision = 0;; ++precision) {
      const std::string_view candidate = write(wide, precision);
      const auto back = static_cast<T>(static_cast<float>(ParseDouble(candidate, DTypeOf<T>())));
      if (back.bits == number.bits || precision == 8) return std::string(candidate);
    }
  }
}

template <class T>
std::string FormatFloat(T number) {
  const auto wide = static_cast<double>(number);
  if (std::isnan(wide)) return "nan";
  if (std::isinf(wide)) return wide > 0 ? "inf" : "-inf";
  std::string text = Scientific(number);
  const size_t e = text.find('e');
  int exponent = 0;
  (void)absl::SimpleAtoi(text.substr(e + 1), &exponent);  // a number that snprintf wrote
  const double size = std::fabs(wide);
  if (size != 0 && (size < 1e-4 || size >= 1e16)) return text;
  const std::string_view sign = text[0] == '-' ? "-" : "";
  std::string digits;
  for (size_t i = sign.size(); i < e; ++i) {
    if (text[i] != '.') digits += text[i];
  }
  if (exponent < 0) digits.insert(0, static_cast<size_t>(-exponent), '0');
  const auto whole = static_cast<size_t>(std::max(exponent, 0)) + 1;
  if (digits.size() <= whole) digits.append(whole + 1 - digits.size(), '0');
  digits.insert(whole, 1, '.');
  return fmt::format("{}{}", sign, digits);
}

}  // namespace

template <class T>
T ParseNumber(std::string_view text) {
  if constexpr (std::is_same_v<T, bool>) {
    bool truth = false;
    if (absl::SimpleAtob({text.data(), text.size()}, &truth)) return truth;
    return ParseDouble(text, DType::kBool) != 0;
  } else if constexpr (std::is_integral_v<T>) {
    return ParseInteger<T>(text);
  } else if constexpr (std::is_same_v<T, float>) {
    float number = 0;
    if (!absl::SimpleAtof({text.data(), text.size()}, &number)) Refuse(text, DType::kFloat32);
    return number;
  } else {
    return fn::Convert<T>()(ParseDouble(text, DTypeOf<T>()));
  }
}

template <class T>
std::string FormatNumber(T number) {
  if constexpr (std::is_same_v<T, bool>) {
    return number ? "True" : "False";
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(number);
  } else {
    return FormatFloat(number);
  }
}

#define GRADWIRE_TEXT_NUMBER(T)                \
  template T ParseNumber<T>(std::string_view); \
  template std::string FormatNumber<T>(T number)
GRADWIRE_TEXT_NUMBER(float);
GRADWIRE_TEXT_NUMBER(double);
GRADWIRE_TEXT_NUMBER(int8_t);
GRADWIRE_TEXT_NUMBER(int16_t);
GRADWIRE_TEXT_NUMBER(int32_t);
GRADWIRE_TEXT_NUMBER(int64_t);
GRADWIRE_TEXT_NUMBER(uint8_t);
GRADWIRE_TEXT_NUMBER(uint16_t);
GRADWIRE_TEXT_NUMBER(uint32_t);
GRADWIRE_TEXT_NUMBER(uint64_t);
GRADWIRE_TEXT_NUMBER(bool);
GRADWIRE_TEXT_NUMBER(Float16);
GRADWIRE_TEXT_NUMBER(BFloat16);

}  // namespace gradwire
