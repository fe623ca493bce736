// Elementwise functions of three arguments. See ops/functors.h.
#ifndef GRADWIRE_OPS_TERNARY_FUNCTORS_H_
#define GRADWIRE_OPS_TERNARY_FUNCTORS_H_

#include "ops/functors.h"

namespace gradwire::fn {

// An input that was left out.
struct Absent {};

// NaN stays NaN. A bound may be Absent.
struct Clip {
  template <class T, class Low, class High>
  GRADWIRE_FN T operator()(T x, Low low, High high) const {
    return Lower(Raise(x, low), high);
  }
  template <class T, class Low>
  GRADWIRE_STATIC_FN T Raise(T x, Low low) {
    if constexpr (std::is_same_v<Low, Absent>) {
      return x;
    } else {
      return x < low ? low : x;
    }
  }
  template <class T, class High>
  GRADWIRE_STATIC_FN T Lower(T x, High high) {
    if constexpr (std::is_same_v<High, Absent>) {
      return x;
    } else {
      return x > high ? high : x;
    }
  }
};

struct Choose {
  template <class T>
  GRADWIRE_FN T operator()(bool condition, T a, T b) const {
    return condition ? a : b;
  }
};

struct MulAdd {
  template <class T>
  GRADWIRE_FN T operator()(T x, T scale, T shift) const {
    return x * scale + shift;
  }
};

}  // namespace gradwire::fn

#endif  // GRADWIRE_OPS_TERNARY_FUNCTORS_H_
