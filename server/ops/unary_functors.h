// Elementwise functions of one argument. See ops/functors.h.
#ifndef GRADWIRE_OPS_UNARY_FUNCTORS_H_
#define GRADWIRE_OPS_UNARY_FUNCTORS_H_

#include <cmath>

#include "ops/functors.h"

namespace gradwire::fn {

struct Abs {
  template <class T>
  GRADWIRE_FN T operator()(T x) const {
    if constexpr (std::is_unsigned_v<T>) {
      return x;
    } else if constexpr (std::is_integral_v<T>) {
      return x < 0 ? Neg()(x) : x;
    } else {
      return std::fabs(x);
    }
  }
};

// NaN stays NaN.
struct Sign {
  template <class T>
  GRADWIRE_FN T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>) {
      return x > 0 ? T(1) : x < 0 ? T(-1) : x;
    } else if constexpr (std::is_unsigned_v<T>) {
      return static_cast<T>(x != T(0));
    } else {
      return static_cast<T>((x > T(0)) - (x < T(0)));
    }
  }
};

// A function of <cmath>, or in its terms.
#define GRADWIRE_UNARY(name, expression)  \
  struct name {                           \
    template <class T>                    \
    GRADWIRE_FN T operator()(T x) const { \
      return expression;                  \
    }                                     \
  }
#define GRADWIRE_SLOW_UNARY(name, expression) \
  struct name {                               \
    static constexpr bool kSlow = true;       \
    template <class T>                        \
    GRADWIRE_FN T operator()(T x) const {     \
      return expression;                      \
    }                                         \
  }

GRADWIRE_UNARY(Floor, std::floor(x));
GRADWIRE_UNARY(Ceil, std::ceil(x));
GRADWIRE_UNARY(Round, std::nearbyint(x));  // halves to even
GRADWIRE_UNARY(Sqrt, std::sqrt(x));
GRADWIRE_UNARY(Square, x* x);
GRADWIRE_UNARY(Reciprocal, T(1) / x);
GRADWIRE_SLOW_UNARY(Exp, math::Exp(x));
GRADWIRE_SLOW_UNARY(Log, math::Log(x));
GRADWIRE_SLOW_UNARY(Erf, math::Erf(x));
GRADWIRE_SLOW_UNARY(Sin, std::sin(x));
GRADWIRE_SLOW_UNARY(Cos, std::cos(x));
GRADWIRE_SLOW_UNARY(Tan, std::tan(x));
GRADWIRE_SLOW_UNARY(Asin, std::asin(x));
GRADWIRE_SLOW_UNARY(Acos, std::acos(x));
GRADWIRE_SLOW_UNARY(Atan, std::atan(x));
GRADWIRE_SLOW_UNARY(Sinh, std::sinh(x));
GRADWIRE_SLOW_UNARY(Cosh, std::cosh(x));
GRADWIRE_SLOW_UNARY(Asinh, std::asinh(x));
GRADWIRE_SLOW_UNARY(Acosh, std::acosh(x));
GRADWIRE_SLOW_UNARY(Atanh, std::atanh(x));
GRADWIRE_SLOW_UNARY(Tanh, math::Tanh(x));
GRADWIRE_SLOW_UNARY(Sigmoid, T(1) / (T(1) + math::Exp(-x)));
GRADWIRE_SLOW_UNARY(Softplus, (x > 0 ? x : T(0)) + math::Log1p(math::Exp(-std::fabs(x))));
GRADWIRE_SLOW_UNARY(Gelu, T(0.5) * x * (T(1) + math::Erf(x * T(0.70710678118654752440))));
// x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
GRADWIRE_SLOW_UNARY(GeluTanh, x / (T(1) + math::Exp(-x * (x * x * T(0.07135481627260026) +
                                                          T(1.595769121605731)))));
GRADWIRE_UNARY(Relu, x < 0 ? T(0) : x);  // NaN stays NaN
GRADWIRE_UNARY(Not, !x);
GRADWIRE_UNARY(BitwiseNot, static_cast<T>(~x));

#undef GRADWIRE_UNARY
#undef GRADWIRE_SLOW_UNARY

// nvcc loses the braces of `return {x}` in a template: with one parameter Make names its struct.
struct LeakyRelu {
  double alpha;
  static LeakyRelu Make(const auto& a) { return LeakyRelu{a.Float("alpha", 0.01f)}; }
  template <class T>
  GRADWIRE_FN T operator()(T x) const {
    return math::Select(x < 0, static_cast<T>(alpha) * x, x);
  }
};

struct Elu {
  static constexpr bool kSlow = true;
  double alpha;
  static Elu Make(const auto& a) { return Elu{a.Float("alpha", 1.0)}; }
  template <class T>
  GRADWIRE_FN T operator()(T x) const {
    return math::Select(x < 0, static_cast<T>(alpha) * math::Expm1(x), x);
  }
};

struct HardSigmoid {
  double alpha;
  double beta;
  static HardSigmoid Make(const auto& a) { return {a.Float("alpha", 0.2f), a.Float("beta", 0.5)}; }
  template <class T>
  GRADWIRE_FN T operator()(T x) const {
    const T y = static_cast<T>(alpha) * x + static_cast<T>(beta);
    return math::Select(y < 0, T(0), math::Select(y > 1, T(1), y));
  }
};

struct Shrink {
  double bias;
  double lambd;
  static Shrink Make(const auto& a) { return {a.Float("bias", 0.0), a.Float("lambd", 0.5)}; }
  template <class T>
  GRADWIRE_FN T operator()(T x) const {
    const auto wide = static_cast<double>(x);
    const double y = wide < -lambd ? wide + bias : wide > lambd ? wide - bias : 0.0;
    return Convert<T>()(y);
  }
};

struct IsNaN {
  template <class T>
  GRADWIRE_FN bool operator()(T x) const {
    return x != x;
  }
};

struct IsInf {
  bool negative;
  bool positive;
  static IsInf Make(const auto& a) {
    return {a.Int("detect_negative", 1) != 0, a.Int("detect_positive", 1) != 0};
  }
  template <class T>
  GRADWIRE_FN bool operator()(T x) const {
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    return (positive & (x == kInfinity)) | (negative & (x == -kInfinity));
  }
};

}  // namespace gradwire::fn

#endif  // GRADWIRE_OPS_UNARY_FUNCTORS_H_
