// The extents of gradwire::MatMul, for its kernels on each device.
#ifndef GRADWIRE_OPS_MATMUL_H_
#define GRADWIRE_OPS_MATMUL_H_

#include <cstdint>
#include <vector>

#include "core/attributes.h"
#include "core/shape.h"

namespace gradwire {

inline Dims BatchDims(const Dims& dims) { return {dims.begin(), dims.end() - 2}; }

// What the two operands are, as one multiplication of many matrices.
struct MatMulProblem {
  MatMulProblem(const Dims& a, const Dims& b, bool transpose_a, bool transpose_b)
      : trans_a(transpose_a),
        trans_b(transpose_b),
        m(a[a.size() - (trans_a ? 1 : 2)]),
        n(b[b.size() - (trans_b ? 2 : 1)]),
        k(a[a.size() - (trans_a ? 2 : 1)]),
        a_batch(BatchDims(a)),
        b_batch(BatchDims(b)),
        batch(BroadcastDims(a_batch, b_batch)) {}

  // Rows of many matrices times one matrix are the rows of one matrix.
  void Fold() {
    if (trans_a || NumElements(b_batch) != 1) return;
    m *= NumElements(a_batch);
    a_batch = b_batch = batch = {};
  }
  // Where each of the batch's matrices is, in matrices.
  static std::vector<int64_t> Places(const Dims& from, const Dims& batch) {
    const Dims strides = BroadcastStrides(from, batch);
    std::vector<int64_t> places = {0};
    for (size_t d = 0; d < batch.size(); ++d) {
      std::vector<int64_t> inner;
      for (const int64_t place : places) {
        for (int64_t i = 0; i < batch[d]; ++i) inner.push_back(place + i * strides[d]);
      }
      places = std::move(inner);
    }
    return places;
  }

  bool trans_a, trans_b;
  int64_t m, n, k;
  Dims a_batch, b_batch, batch;
};

inline MatMulProblem ProblemOf(const Dims& a, const Dims& b, const Attributes& attributes) {
  return {a, b, attributes.Int("trans_a", 0) != 0, attributes.Int("trans_b", 0) != 0};
}

}  // namespace gradwire

#endif  // GRADWIRE_OPS_MATMUL_H_
