// Determinants, cofactors and inverses of square matrices, the last two axes of an array.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"

namespace gradwire {
namespace {

// A matrix's decomposition into triangular ones, P A = L U, with partial pivoting.
template <class T>
struct Lu {
  int64_t n;
  std::vector<T> factors;     // U, and below the diagonal L without its ones; row by row
  std::vector<int64_t> rows;  // row i of P A is row rows[i] of A
  T sign = 1;                 // P's determinant

  Lu(const T* matrix, int64_t size);
  T* Row(int64_t i) { return factors.data() + i * n; }
  const T* Row(int64_t i) const { return factors.data() + i * n; }
  T Determinant() const {
    T product = sign;
    for (int64_t i = 0; i < n; ++i) product *= Row(i)[i];
    return product;
  }
  // Makes a singular matrix one that is not, by a change as small as rounding.
  void Perturb();
  // x = A^-1 e_column.
  void InverseColumn(int64_t column, T* x) const;
};

template <class T>
Lu<T>::Lu(const T* matrix, int64_t size) : n(size), factors(matrix, matrix + size * size) {
  for (int64_t i = 0; i < n; ++i) rows.push_back(i);
  for (int64_t k = 0; k < n; ++k) {
    int64_t pivot = k;
    for (int64_t i = k + 1; i < n; ++i) {
      if (std::abs(Row(i)[k]) > std::abs(Row(pivot)[k])) pivot = i;
    }
    if (pivot != k) {
      std::swap_ranges(Row(k), Row(k) + n, Row(pivot));
      std::swap(rows[size_t(k)], rows[size_t(pivot)]);
      sign = -sign;
    }
    if (Row(k)[k] == T(0)) continue;
    for (int64_t i = k + 1; i < n; ++i) {
      const T factor = Row(i)[k] /= Row(k)[k];
      for (int64_t j = k + 1; j < n; ++j) Row(i)[j] -= factor * Row(k)[j];
    }
  }
}

template <class T>
void Lu<T>::Perturb() {
  T largest = 0;
  for (const T x : factors) largest = std::max(largest, std::abs(x));
  const T least = (largest > 0 ? largest : T(1)) * std::numeric_limits<T>::epsilon();
  for (int64_t i = 0; i < n; ++i) {
    if (Row(i)[i] == T(0)) Row(i)[i] = least;
  }
}

template <class T>
void Lu<T>::InverseColumn(int64_t column, T* x) const {
  for (int64_t i = 0; i < n; ++i) {
    x[i] = rows[size_t(i)] == column ? T(1) : T(0);
    for (int64_t j = 0; j < i; ++j) x[i] -= Row(i)[j] * x[j];
  }
  for (int64_t i = n; i-- > 0;) {
    for (int64_t j = i + 1; j < n; ++j) x[i] -= Row(i)[j] * x[j];
    x[i] /= Row(i)[i];
  }
}

// Calls f(LU of the matrix, its number) for each matrix of the input.
template <class F>
void ForEachMatrix(KernelContext& context, F f) {
  const Tensor& x = context.input(0);
  const int64_t n = x.dims().back();
  const int64_t count = NumElements(std::span<const int64_t>(x.dims()).first(x.dims().size() - 2));
  Dispatch(FloatTypes{}, x.dtype(), [&]<class T>() {
    const T* in = context.in<T>(0);
    ParallelFor(count, 1 + (1 << 15) / (1 + n * n * n), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) f(Lu<T>(in + i * n * n, n), i);
    });
  });
}

void RequireSquare(const OpCall& call) {
  const Dims& dims = call.dims(0);
  if (dims.size() >= 2 && dims.back() == dims[dims.size() - 2]) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("X is {}: square matrices are expected", ToString(call.spec(0))));
}

Specs InferSame(const OpCall& call) {
  RequireSquare(call);
  return {call.spec(0)};
}

Value Transposed(const Value& x) {
  std::vector<int64_t> perm = ToVector(AllAxes(x.rank()));
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return Transpose(x, perm);
}

// ---- gradwire::Inverse (x)

void InverseCpu(KernelContext& context) {
  ForEachMatrix(context, [&]<class T>(const Lu<T>& lu, int64_t i) {
    T* out = context.out<T>(0) + i * lu.n * lu.n;
    std::vector<T> column(size_t(lu.n));
    for (int64_t c = 0; c < lu.n; ++c) {
      lu.InverseColumn(c, column.data());
      for (int64_t r = 0; r < lu.n; ++r) out[r * lu.n + c] = column[size_t(r)];
    }
  });
}

Values InverseVjp(const VjpCall& call) {
  const Value y = call.output(0);
  const Value right = MatMul(call.dy(), y, /*transpose_a=*/false, /*transpose_b=*/true);
  return {-MatMul(y, right, /*transpose_a=*/true)};
}

GRADWIRE_OP({.name = "Inverse",
             .domain = "gradwire",
             .infer = InferSame,
             .cpu = InverseCpu,
             .vjp = InverseVjp,
             .saves = kSaveOutputs});

// ---- gradwire::Cofactor (x): the gradient of the determinant, of singular matrices as well: C.
// Its own derivative is that of det(x) x^-T, which needs S = x^-1: <dC, C> S^T - S^T dC^T C.

void CofactorCpu(KernelContext& context) {
  ForEachMatrix(context, [&]<class T>(Lu<T> lu, int64_t i) {
    lu.Perturb();
    const T determinant = lu.Determinant();
    T* out = context.out<T>(0) + i * lu.n * lu.n;
    for (int64_t c = 0; c < lu.n; ++c) {
      lu.InverseColumn(c, out + c * lu.n);
      for (int64_t r = 0; r < lu.n; ++r) out[c * lu.n + r] *= determinant;
    }
  });
}

Values CofactorVjp(const VjpCall& call) {
  const Value c = call.output(0);
  const Value s = Transposed(Call("gradwire::Inverse", {call.input(0)}));
  const Dims matrix{c.rank() - 2, c.rank() - 1};
  const Value product = MatMul(call.dy(), c, /*transpose_a=*/true);
  return {Sum(call.dy() * c, matrix, /*keepdims=*/true) * s - MatMul(s, product)};
}

GRADWIRE_OP({.name = "Cofactor",
             .domain = "gradwire",
             .infer = InferSame,
             .cpu = CofactorCpu,
             .vjp = CofactorVjp,
             .saves = {~0u, ~0u}});

// ---- Det

Specs InferDet(const OpCall& call) {
  RequireSquare(call);
  return {{call.dtype(0), Dims(call.dims(0).begin(), call.dims(0).end() - 2)}};
}

void DetCpu(KernelContext& context) {
  ForEachMatrix(context, [&]<class T>(const Lu<T>& lu, int64_t i) {
    context.out<T>(0)[i] = lu.Determinant();
  });
}

Values DetVjp(const VjpCall& call) {
  const int rank = call.input_spec(0).rank();
  return {Unsqueeze(call.dy(), {rank - 2, rank - 1}) * Call("gradwire::Cofactor", {call.input(0)})};
}

GRADWIRE_OP({.name = "Det",
             .since = 11,
             .infer = InferDet,
             .cpu = DetCpu,
             .vjp = DetVjp,
             .saves = kSaveInputs});

}  // namespace
}  // namespace gradwire
