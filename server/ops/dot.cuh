// Matrix products on the GPU of whatever is multiplied.
#ifndef GRADWIRE_OPS_DOT_CUH_
#define GRADWIRE_OPS_DOT_CUH_

#include <cstdint>
#include <type_traits>

#include "backend/cuda/blas.h"
#include "backend/cuda/launch.h"
#include "core/dtype.h"
#include "ops/unary_functors.h"

namespace gradwire::cuda {

// What Multiply takes.
template <class T>
constexpr bool kIsFloat = (kFloats | kHalves).Contains(DTypeOf<T>());

// Element i of all matrices. Sums of integers wrap; others are kept in double, and rounded once.
template <class T>
struct Dot {
  MatrixProduct p;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t column = i % p.n;
    const int64_t row = i / p.n % p.m;
    const int64_t matrix = i / p.n / p.m;
    const int64_t a_row = p.a_row != 0 ? p.a_row : p.transpose_a ? p.m : p.k;
    const int64_t c_row = p.c_row != 0 ? p.c_row : p.n;
    const T* a = static_cast<const T*>(p.a) + matrix * p.a_step + row * (p.transpose_a ? 1 : a_row);
    const T* b =
        static_cast<const T*>(p.b) + matrix * p.b_step + column * (p.transpose_b ? p.k : 1);
    const int64_t next_a = p.transpose_a ? a_row : 1;
    const int64_t next_b = p.transpose_b ? 1 : p.n;
    T* const c = static_cast<T*>(p.c) + matrix * p.c_step + row * c_row + column;
    using Sum = std::conditional_t<std::is_integral_v<T>, fn::Wrapping<T>, double>;
    Sum sum = p.bias != nullptr ? Sum(static_cast<const T*>(p.bias)[column]) : Sum(0);
    if (p.accumulate) sum += Sum(*c);
    for (int64_t j = 0; j < p.k; ++j) sum += Sum(a[j * next_a]) * Sum(b[j * next_b]);
    if constexpr (!std::is_integral_v<T>) {
      if (p.epilogue == Epilogue::kRelu) sum = fn::Relu()(sum);
      if (p.epilogue == Epilogue::kGelu) sum = fn::GeluTanh()(sum);
    }
    *c = static_cast<T>(sum);
  }
};

// Queues a product of T, whose k may be 0: as Multiply does or, where that does not, a thread an
// element.
template <class T>
void MultiplyAs(Stream& stream, const MatrixProduct& product) {
  if constexpr (kIsFloat<T>) {
    if (product.k != 0 && Multiply(stream, product)) return;
  }
  ForEach(stream, product.count * product.m * product.n, Dot<T>{product});
}

}  // namespace gradwire::cuda

#endif  // GRADWIRE_OPS_DOT_CUH_
