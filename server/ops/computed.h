// What a GPU's kernels compute in. 16-bit floats are loaded as float and rounded once, where they
// are stored, so that functors need not know of them. Generated kernels include this, too.
#ifndef GRADWIRE_OPS_COMPUTED_H_
#define GRADWIRE_OPS_COMPUTED_H_

#include <type_traits>

#include "core/half.h"
#include "ops/real_math.h"

namespace gradwire::cuda {

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>;

template <class T>
using Computed = std::conditional_t<kIsHalf<T>, float, T>;

// An element as it is computed with.
template <class T>
GRADWIRE_FN Computed<T> Loaded(T x) {
  return static_cast<Computed<T>>(x);
}

// A number as an element: rounded to what is computed in, first.
template <class T, class X>
GRADWIRE_FN T Stored(X x) {
  return static_cast<T>(static_cast<Computed<T>>(x));
}

// The element type of what a functor gives as R for elements of T.
template <class T, class R>
using ResultOf = std::conditional_t<std::is_same_v<R, Computed<T>>, T, R>;

}  // namespace gradwire::cuda

#endif  // GRADWIRE_OPS_COMPUTED_H_
