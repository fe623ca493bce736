// Dense matrix products of any number type: what oneDNN does not multiply.
#ifndef GRADWIRE_OPS_PRODUCT_H_
#define GRADWIRE_OPS_PRODUCT_H_

#include <cstdint>
#include <span>

#include "backend/backend.h"

namespace gradwire {

// A matrix in memory: element (i, j) is data[i * row + j * column].
template <class T>
struct MatrixView {
  const T* data;
  int64_t row;
  int64_t column;
};

// c = a b, or c += a b; c's rows are `c_row` elements apart.
template <class T>
struct Product {
  int64_t m, n, k;
  MatrixView<T> a;  // m x k
  MatrixView<T> b;  // k x n
  T* c;             // m x n
  int64_t c_row;
  bool accumulate = false;
};

// Computes products that do not overlap, together on the threads that the command may use.
// Instantiated for float, double and the 32- and 64-bit integers.
template <class T>
void Multiply(Stream& stream, std::span<const Product<T>> products);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_PRODUCT_H_
