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

// A strip: StripWidth() columns of the right-hand side of a product, row by row. The width is the
// processor's.
template <class T>
int64_t StripWidth();

// c = a strip, for an a of m rows and a strip of k; rows are `a_row` and `c_row` elements apart.
// On the calling thread. Instantiated for float.
template <class T>
void MultiplyByStrip(const T* a, int64_t a_row, int64_t m, const T* strip, int64_t k, T* c,
                     int64_t c_row);

// The right-hand side of many products, in a layout of its own. Immutable, thread-safe.
// Instantiated for float and double.
template <class T>
class PackedMatrix {
 public:
  // Copies b, which is k x n. Throws what Stream::Allocate throws.
  PackedMatrix(Stream& stream, const MatrixView<T>& b, int64_t k, int64_t n);

  // c = a b, or c += a b, for an a of m rows; rows are `a_row` and `c_row` elements apart. On the
  // calling thread alone within a parallel loop, otherwise on those that the command may use. An
  // element of c depends on its row of a and on b only, not on m. Does not throw.
  void Multiply(const T* a, int64_t a_row, int64_t m, T* c, int64_t c_row, bool accumulate) const;

 private:
  int64_t k_, n_;
  BufferPtr packed_;
};

}  // namespace gradwire

#endif  // GRADWIRE_OPS_PRODUCT_H_
