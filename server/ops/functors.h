// What elementwise operators do to their elements. Plain structs that host and device code
// instantiate alike: y = f(x) or y = f(a, b), for the element types that the operator's row lists.
// One with parameters has Make, of a call's Attributes. Kernels that are generated at run time
// include these headers, too (ops/chain_kernel.h): they need nothing but what
// backend/cuda/device_std.h has.
#ifndef GRADWIRE_OPS_FUNCTORS_H_
#define GRADWIRE_OPS_FUNCTORS_H_

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/half.h"
#include "ops/real_math.h"

namespace gradwire::fn {

// The type in which integers of type T are added and multiplied, so that overflow wraps.
template <class T, bool kIsInt = std::is_integral_v<T>>
struct WrappingType {
  using type = T;
};
template <class T>
struct WrappingType<T, true> {
  using type = std::conditional_t<(sizeof(T) < 4), uint32_t, std::make_unsigned_t<T>>;
};
template <class T>
using Wrapping = typename WrappingType<T>::type;

struct Add {
  template <class T>
  GRADWIRE_FN T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) + Wrapping<T>(b));
  }
};

struct Sub {
  template <class T>
  GRADWIRE_FN T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) - Wrapping<T>(b));
  }
};

struct Mul {
  template <class T>
  GRADWIRE_FN T operator()(T a, T b) const {
    return static_cast<T>(Wrapping<T>(a) * Wrapping<T>(b));
  }
};

// Integers: towards zero; x / 0 is 0 and MIN / -1 is MIN.
struct Div {
  template <class T>
  GRADWIRE_FN T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (b == T(-1)) return Sub()(T(0), a);
      }
    }
    return static_cast<T>(a / b);
  }
};

struct Neg {
  template <class T>
  GRADWIRE_FN T operator()(T x) const {
    if constexpr (std::is_integral_v<T>) return Sub()(T(0), x);
    return -x;
  }
};

// Floating to integer, towards zero. What does not fit, NaN included, becomes what x86-64's own
// conversion makes of it, which is NumPy's result there.
template <class To, class From>
GRADWIRE_FN To Truncate(From x) {
  if constexpr (sizeof(To) < 4 || std::is_same_v<To, int32_t>) {
    const bool fits = x > From(-2147483649.0) && x < From(2147483648.0);
    return static_cast<To>(static_cast<int32_t>(fits ? x : From(-2147483648.0)));
  } else {
    constexpr From kLimit = From(9223372036854775808.0);
    if constexpr (std::is_same_v<To, uint64_t>) {
      if (x >= kLimit) return x < 2 * kLimit ? static_cast<uint64_t>(x) : uint64_t{1} << 63;
    }
    const bool fits = x >= -kLimit && x < kLimit;
    return static_cast<To>(static_cast<int64_t>(fits ? x : -kLimit));
  }
}

// Double to float such that a later rounding to fewer bits is that of the double: the last bit is
// set where the float is inexact.
GRADWIRE_FN float RoundToOdd(double x) {
  const float y = static_cast<float>(x);
  if (static_cast<double>(y) == x || x != x) return y;
  uint32_t bits = std::bit_cast<uint32_t>(y);
  if (std::fabs(static_cast<double>(y)) > std::fabs(x)) --bits;
  return std::bit_cast<float>(bits | 1u);
}

// ONNX's Cast.
template <class To>
struct Convert {
  template <class From>
  GRADWIRE_FN To operator()(From x) const {
    constexpr bool kFromHalf = std::is_same_v<From, Float16> || std::is_same_v<From, BFloat16>;
    if constexpr (std::is_same_v<To, From>) {
      return x;
    } else if constexpr (kFromHalf) {
      return Convert()(static_cast<float>(x));
    } else if constexpr (std::is_same_v<To, bool>) {
      return x != From(0);
    } else if constexpr (std::is_same_v<To, Float16> && std::is_same_v<From, double>) {
      return Float16(RoundToOdd(x));
    } else if constexpr (std::is_same_v<To, Float16> || std::is_same_v<To, BFloat16>) {
      return To(static_cast<float>(x));
    } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
      return Truncate<To>(x);
    } else {
      return static_cast<To>(x);
    }
  }
};

}  // namespace gradwire::fn

#endif  // GRADWIRE_OPS_FUNCTORS_H_
