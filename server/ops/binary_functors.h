// Elementwise functions of two arguments, beyond arithmetic. See ops/functors.h.
#ifndef GRADWIRE_OPS_BINARY_FUNCTORS_H_
#define GRADWIRE_OPS_BINARY_FUNCTORS_H_

#include <cmath>

#include "ops/functors.h"

namespace gradwire::fn {

// f(a, b), as an expression of the elements' own type or of bool.
#define GRADWIRE_BINARY(name, expression)      \
  struct name {                                \
    template <class T>                         \
    GRADWIRE_FN T operator()(T a, T b) const { \
      return static_cast<T>(expression);       \
    }                                          \
  }
#define GRADWIRE_PREDICATE(name, expression)      \
  struct name {                                   \
    template <class T>                            \
    GRADWIRE_FN bool operator()(T a, T b) const { \
      return expression;                          \
    }                                             \
  }

GRADWIRE_PREDICATE(Equal, a == b);
GRADWIRE_PREDICATE(Less, a < b);
GRADWIRE_PREDICATE(LessOrEqual, a <= b);
GRADWIRE_PREDICATE(Greater, a > b);
GRADWIRE_PREDICATE(GreaterOrEqual, a >= b);

GRADWIRE_BINARY(BitwiseAnd, a& b);  // And, Or, Xor of bools as well
GRADWIRE_BINARY(BitwiseOr, a | b);
GRADWIRE_BINARY(BitwiseXor, a ^ b);

GRADWIRE_BINARY(Maximum, a > b || a != a ? a : b);  // NaN where either is NaN
GRADWIRE_BINARY(Minimum, a < b || a != a ? a : b);

// Derivatives: of the output's gradient and the forward call's output (input, for Gelu).
GRADWIRE_BINARY(ReluGrad, b > T(0) ? a : T(0));
GRADWIRE_BINARY(TanhGrad, a*(T(1) - b * b));
GRADWIRE_BINARY(SigmoidGrad, a* b*(T(1) - b));

#undef GRADWIRE_BINARY
#undef GRADWIRE_PREDICATE

struct PRelu {
  template <class T>
  GRADWIRE_FN T operator()(T x, T slope) const {
    if constexpr (std::is_floating_point_v<T>) {
      return math::Select(x < 0, Mul()(x, slope), x);
    } else if constexpr (std::is_unsigned_v<T>) {
      return x;
    } else {
      return x < T(0) ? Mul()(x, slope) : x;
    }
  }
};

struct GeluGrad {
  static constexpr bool kSlow = true;
  template <class T>
  GRADWIRE_FN T operator()(T dy, T x) const {
    const T cdf = T(0.5) * (T(1) + math::Erf(x * T(0.70710678118654752440)));
    return dy * (cdf + x * T(0.39894228040143267794) * math::Exp(T(-0.5) * x * x));
  }
};

// Integers: by squaring, wrapping; a negative exponent gives 1/x truncated, and 0 for x = 0.
struct Pow {
  static constexpr bool kSlow = true;
  template <class T>
  GRADWIRE_FN T operator()(T x, T y) const {
    if constexpr (std::is_floating_point_v<T>) {
      return std::pow(x, y);
    } else {
      if constexpr (std::is_signed_v<T>) {
        if (y < 0) return x == 1 ? T(1) : x == T(-1) ? static_cast<T>((y & 1) != 0 ? -1 : 1) : T(0);
      }
      T result = 1;
      for (auto n = static_cast<uint64_t>(y); n != 0; n >>= 1) {
        if ((n & 1) != 0) result = Mul()(result, x);
        x = Mul()(x, x);
      }
      return result;
    }
  }
};

// The remainder with the sign of the divisor, as Python's %, or with that of the dividend, as C's
// fmod. Integers modulo 0 give 0.
struct Mod {
  bool fmod;
  static Mod Make(const auto& a) { return Mod{a.Int("fmod", 0) != 0}; }
  template <class T>
  GRADWIRE_FN T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      return std::fmod(a, b);
    } else {
      if (b == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (b == T(-1)) return 0;
        const T r = static_cast<T>(a % b);
        return !fmod && r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
      }
      return static_cast<T>(a % b);
    }
  }
};

// Shifts by the width or more give 0.
struct BitShift {
  bool left;
  static BitShift Make(const auto& a) { return BitShift{a.String("direction") == "LEFT"}; }
  template <class T>
  GRADWIRE_FN T operator()(T a, T b) const {
    if (b >= sizeof(T) * 8) return 0;
    const auto wide = static_cast<uint64_t>(a);
    return static_cast<T>(left ? wide << b : wide >> b);
  }
};

}  // namespace gradwire::fn

#endif  // GRADWIRE_OPS_BINARY_FUNCTORS_H_
