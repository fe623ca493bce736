// Transcendental functions for loops over many elements. For float: free of branches and of calls,
// so that compilers vectorise the loop; within 4 ulp (Erf: 4 ulp of values, not of 1 - Erf). For
// double: the standard library's.
#ifndef GRADWIRE_OPS_REAL_MATH_H_
#define GRADWIRE_OPS_REAL_MATH_H_

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#ifdef __CUDACC__
#define GRADWIRE_FN __host__ __device__ inline
#define GRADWIRE_STATIC_FN __host__ __device__ static
#else
#define GRADWIRE_FN inline
#define GRADWIRE_STATIC_FN static
#endif

namespace gradwire::math {

// c[0] x^(n-1) + ... + c[n-1].
template <class... Rest>
GRADWIRE_FN float Horner(float x, float sum, Rest... rest) {
  ((sum = std::fma(sum, x, rest)), ...);
  return sum;
}

// condition ? a : b, as arithmetic: no branch into which a compiler might sink what it computes.
template <class T>
GRADWIRE_FN T Select(bool condition, T a, T b) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  const Bits mask = Bits{0} - static_cast<Bits>(condition);
  return std::bit_cast<T>((std::bit_cast<Bits>(a) & mask) | (std::bit_cast<Bits>(b) & ~mask));
}

GRADWIRE_FN float Exp2Int(int32_t n) {  // REQUIRES: -126 <= n <= 127
  return std::bit_cast<float>((static_cast<uint32_t>(n) + 127u) << 23);
}

// e^x = scale_1 scale_2 (1 + tail), scales powers of two, |tail| <= 0.42. Coefficients here and
// below are minimax fits of this project.
struct ExpParts {
  float scale_1;
  float scale_2;
  float tail;
};
GRADWIRE_FN ExpParts SplitExp(float x) {
  const float low = Select(x < -104.0f, -104.0f, x);
  const float clamped = Select(low > 89.0f, 89.0f, low);
  constexpr float kRounder = 0x1.8p23f;  // adding it leaves the nearest integer in the last bits
  const float shifted = std::fma(clamped, 0x1.715476p0f, kRounder);
  const auto n =
      static_cast<int32_t>(std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRounder));
  const float whole = shifted - kRounder;
  const float r = std::fma(whole, -1.42860682e-06f, std::fma(whole, -0x1.62e4p-1f, clamped));
  const float p = Horner(r, 1.3882514e-3f, 8.3665475e-3f, 4.16672e-2f, 1.66665435e-1f, 0.5f);
  const int32_t half = n / 2;
  return {Exp2Int(half), Exp2Int(n - half), std::fma(r * r, p, r)};
}

GRADWIRE_FN float Exp(float x) {
  const ExpParts e = SplitExp(x);
  return std::fma(e.scale_1, e.tail, e.scale_1) * e.scale_2;
}
GRADWIRE_FN double Exp(double x) { return std::exp(x); }

GRADWIRE_FN float Expm1(float x) {
  const ExpParts e = SplitExp(x);
  const float scale = e.scale_1 * e.scale_2;
  const float near = std::fma(scale, e.tail, scale - 1.0f);
  const float far = std::fma(e.scale_1, e.tail, e.scale_1) * e.scale_2;
  return Select(x > 88.0f, far, near);
}
GRADWIRE_FN double Expm1(double x) { return std::expm1(x); }

// log(2^e m) = e log 2 + 2 artanh(s), s = (m - 1) / (m + 1), sqrt(1/2) <= m < sqrt(2).
GRADWIRE_FN float Log(float x) {
  const bool tiny = x < 0x1p-126f;
  const float normal = x * Select(tiny, 0x1p24f, 1.0f);
  const auto bits = std::bit_cast<uint32_t>(normal) - 0x3f3504f3u;  // those of sqrt(1/2)
  const float exponent =
      static_cast<float>(static_cast<int32_t>(bits) >> 23) - Select(tiny, 24.0f, 0.0f);
  const float f = std::bit_cast<float>((bits & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
  const float s = f / (f + 2.0f);
  const float z = s * s;
  const float tail = z * Horner(z, 2.0f / 9, 2.0f / 7, 2.0f / 5, 2.0f / 3);
  const float half = 0.5f * f * f;
  const float log_m = f - (half - s * (half + tail));
  const float y = std::fma(exponent, 0x1.62e4p-1f, std::fma(exponent, 1.42860682e-06f, log_m));
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float at_zero = Select(x == 0, -kInfinity, std::numeric_limits<float>::quiet_NaN());
  return Select(x > 0, Select(x < kInfinity, y, x), at_zero);
}
GRADWIRE_FN double Log(double x) { return std::log(x); }

// log(1 + x), with what the rounding of 1 + x lost put back. REQUIRES: x > -1.
GRADWIRE_FN float Log1p(float x) {
  const float one_more = 1.0f + x;
  return Log(one_more) + (x - (one_more - 1.0f)) / one_more;
}
GRADWIRE_FN double Log1p(double x) { return std::log1p(x); }

GRADWIRE_FN float Tanh(float x) {
  const float magnitude = std::fabs(x);
  const float t = Expm1(2.0f * Select(magnitude > 10.0f, 10.0f, magnitude));
  return std::copysign(t / (t + 2.0f), x);
}
GRADWIRE_FN double Tanh(double x) { return std::tanh(x); }

GRADWIRE_FN float Erf(float x) {
  const float z = x * x;
  const float small = std::fma(Horner(z, -6.0903578e-4f, 5.0119623e-3f, -2.6778908e-2f,
                                      1.1282141e-1f, -3.7612525e-1f, 1.2837915e-1f),
                               x, x);
  const float magnitude = std::fabs(x);
  const float t = Select(magnitude > 4.1f, 4.1f, magnitude);
  const float log_erfc = Horner(t, 1.9832224e-4f, -3.0664857e-3f, 2.2319134e-2f, -1.0412171e-1f,
                                -6.3696706e-1f, -1.1278025f, -1.6518589e-4f);
  const float large = std::copysign(1.0f - Exp(log_erfc), x);
  return Select(magnitude <= 0.9f, small, large);
}
GRADWIRE_FN double Erf(double x) { return std::erf(x); }

}  // namespace gradwire::math

#endif  // GRADWIRE_OPS_REAL_MATH_H_
