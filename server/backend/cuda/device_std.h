// What functors use of the C++ standard library, for NVRTC, which has none. It stands for each
// standard header that is included there, and is included by nothing else.
#ifndef GRADWIRE_BACKEND_CUDA_DEVICE_STD_H_
#define GRADWIRE_BACKEND_CUDA_DEVICE_STD_H_

using int8_t = signed char;
using int16_t = short;
using int32_t = int;
using int64_t = long long;
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long long;

namespace std {

template <class T, class U>
inline constexpr bool is_same_v = false;
template <class T>
inline constexpr bool is_same_v<T, T> = true;

template <class T, class... Ts>
inline constexpr bool is_one_of_v = (is_same_v<T, Ts> || ...);

template <class T>
inline constexpr bool is_floating_point_v = is_one_of_v<T, float, double>;
template <class T>
inline constexpr bool is_unsigned_v =
    is_one_of_v<T, bool, uint8_t, uint16_t, uint32_t, uint64_t, unsigned long>;
template <class T>
inline constexpr bool is_integral_v =
    is_unsigned_v<T> || is_one_of_v<T, int8_t, int16_t, int32_t, int64_t, long>;
template <class T>
inline constexpr bool is_signed_v =
    is_floating_point_v<T> || (is_integral_v<T> && !is_unsigned_v<T>);

template <bool kCondition, class T, class U>
struct conditional {
  using type = T;
};
template <class T, class U>
struct conditional<false, T, U> {
  using type = U;
};
template <bool kCondition, class T, class U>
using conditional_t = typename conditional<kCondition, T, U>::type;

template <class T>
using make_unsigned_t = conditional_t<
    sizeof(T) == 1, uint8_t,
    conditional_t<sizeof(T) == 2, uint16_t, conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>>;

template <class To, class From>
constexpr To bit_cast(const From& from) {
  return __builtin_bit_cast(To, from);
}

template <class T>
struct numeric_limits {};
template <>
struct numeric_limits<float> {
  static constexpr float infinity() { return __builtin_bit_cast(float, 0x7f800000u); }
  static constexpr float quiet_NaN() { return __builtin_bit_cast(float, 0x7fc00000u); }
};
template <>
struct numeric_limits<double> {
  static constexpr double infinity() { return __builtin_bit_cast(double, 0x7ff0000000000000ull); }
  static constexpr double quiet_NaN() { return __builtin_bit_cast(double, 0x7ff8000000000000ull); }
};

#define GRADWIRE_STD_1(name)                          \
  inline float name(float x) { return ::name##f(x); } \
  inline double name(double x) { return ::name(x); }
#define GRADWIRE_STD_2(name)                                      \
  inline float name(float x, float y) { return ::name##f(x, y); } \
  inline double name(double x, double y) { return ::name(x, y); }

GRADWIRE_STD_1(acos)
GRADWIRE_STD_1(acosh)
GRADWIRE_STD_1(asin)
GRADWIRE_STD_1(asinh)
GRADWIRE_STD_1(atan)
GRADWIRE_STD_1(atanh)
GRADWIRE_STD_1(ceil)
GRADWIRE_STD_1(cos)
GRADWIRE_STD_1(cosh)
GRADWIRE_STD_1(erf)
GRADWIRE_STD_1(exp)
GRADWIRE_STD_1(expm1)
GRADWIRE_STD_1(fabs)
GRADWIRE_STD_1(floor)
GRADWIRE_STD_1(log)
GRADWIRE_STD_1(log1p)
GRADWIRE_STD_1(nearbyint)
GRADWIRE_STD_1(sin)
GRADWIRE_STD_1(sinh)
GRADWIRE_STD_1(sqrt)
GRADWIRE_STD_1(tan)
GRADWIRE_STD_1(tanh)
GRADWIRE_STD_2(copysign)
GRADWIRE_STD_2(fmod)
GRADWIRE_STD_2(pow)
inline float fma(float x, float y, float z) { return ::fmaf(x, y, z); }
inline double fma(double x, double y, double z) { return ::fma(x, y, z); }

#undef GRADWIRE_STD_1
#undef GRADWIRE_STD_2

}  // namespace std

#endif  // GRADWIRE_BACKEND_CUDA_DEVICE_STD_H_
