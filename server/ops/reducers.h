// What reductions do to their elements. Plain structs that host and device code instantiate alike;
// ops/reduction.h says what is in one.
#ifndef GRADWIRE_OPS_REDUCERS_H_
#define GRADWIRE_OPS_REDUCERS_H_

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/dtype.h"
#include "ops/real_math.h"

namespace gradwire {

// What is added and multiplied.
using ArithmeticTypes = TypeList<float, double, int32_t, int64_t, uint32_t, uint64_t>;

// Dispatch of what is compared: bools as the bytes 0 and 1.
template <class F>
void DispatchCompared(DType dtype, F&& f) {
  if (dtype == DType::kBool) return f.template operator()<uint8_t>();
  Dispatch(NumberTypes{}, dtype, f);
}

// Accumulators: floating sums in double; integers modulo 2^64, cut to their type at the end, so
// that they wrap as NumPy's do.
template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;

struct Adds {
  template <class V>
  GRADWIRE_STATIC_FN V Merge(V a, V b) {
    return a + b;
  }
};

template <class T>
struct SumOf : Adds {
  using Acc = Wide<T>;
  using Out = T;
  static constexpr Acc kFirst = 0;
  template <class V>
  GRADWIRE_STATIC_FN V Step(V a, V x) {
    return a + x;
  }
  GRADWIRE_STATIC_FN T Finish(Acc a, int64_t) { return static_cast<T>(a); }
};

template <class T>
struct MeanOf : SumOf<T> {
  GRADWIRE_STATIC_FN T Finish(Wide<T> a, int64_t count) {
    if constexpr (std::is_integral_v<T>) {
      using Signed = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
      return count == 0 ? T{0} : static_cast<T>(static_cast<Signed>(a) / Signed(count));
    }
    return static_cast<T>(a / static_cast<Wide<T>>(count));
  }
};

template <class T>
struct L1Of : SumOf<T> {
  template <class V>
  GRADWIRE_STATIC_FN V Step(V a, V x) {
    if constexpr (std::is_floating_point_v<T>) {
      return a + (x < 0 ? -x : x);
    } else if constexpr (std::is_unsigned_v<T>) {
      return a + x;
    } else {
      constexpr uint64_t kLargestPositive = std::numeric_limits<int64_t>::max();
      return a + (x > kLargestPositive ? -x : x);
    }
  }
};

template <class T>
struct SumSquareOf : SumOf<T> {
  template <class V>
  GRADWIRE_STATIC_FN V Step(V a, V x) {
    return a + x * x;
  }
};

template <class T>
struct L2Of : SumSquareOf<T> {
  GRADWIRE_STATIC_FN T Finish(Wide<T> a, int64_t) {
    return static_cast<T>(std::sqrt(static_cast<double>(a)));
  }
};

template <class T>
struct ProdOf {
  using Acc = Wide<T>;
  using Out = T;
  static constexpr Acc kFirst = 1;
  template <class V>
  GRADWIRE_STATIC_FN V Step(V a, V x) {
    return a * x;
  }
  template <class V>
  GRADWIRE_STATIC_FN V Merge(V a, V b) {
    return a * b;
  }
  GRADWIRE_STATIC_FN T Finish(Acc a, int64_t) { return static_cast<T>(a); }
};

// Extremes keep a NaN once they meet one.
template <class T>
struct MaxOf {
  using Acc = T;
  using Out = T;
  static constexpr T kFirst = std::numeric_limits<T>::has_infinity
                                  ? -std::numeric_limits<T>::infinity()
                                  : std::numeric_limits<T>::lowest();
  template <class V>
  GRADWIRE_STATIC_FN V Step(V a, V x) {
    return ((x > a) | (x != x)) ? x : a;
  }
  template <class V>
  GRADWIRE_STATIC_FN V Merge(V a, V b) {
    return Step(a, b);
  }
  GRADWIRE_STATIC_FN T Finish(T a, int64_t) { return a; }
};

template <class T>
struct MinOf : MaxOf<T> {
  static constexpr T kFirst = std::numeric_limits<T>::has_infinity
                                  ? std::numeric_limits<T>::infinity()
                                  : std::numeric_limits<T>::max();
  template <class V>
  GRADWIRE_STATIC_FN V Step(V a, V x) {
    return ((x < a) | (x != x)) ? x : a;
  }
  template <class V>
  GRADWIRE_STATIC_FN V Merge(V a, V b) {
    return Step(a, b);
  }
};

}  // namespace gradwire

#endif  // GRADWIRE_OPS_REDUCERS_H_
