// Determinants, cofactors and inverses of square matrices, the last two axes of an array.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>
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

// ---- gradwire::Cofactor (x): the gradient of the determinant, of singular matrices as well

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

// The second derivative of the determinant is symmetric.
Values CofactorVjp(const VjpCall& call) {
  return {Call("gradwire::CofactorGrad", {call.input(0), call.dy()})};
}

GRADWIRE_OP({.name = "Cofactor",
             .domain = "gradwire",
             .infer = InferSame,
             .cpu = CofactorCpu,
             .vjp = CofactorVjp,
             .saves = kSaveInputs});

// ---- gradwire::CofactorGrad (x, e): the derivative of x's cofactors along e. With A = X D Y, D
// diagonal, cof(A + E) = cof(X) cof(D + F) cof(Y), where F = X^-1 E Y^-1; that of D along F
// divides by nothing. Only its own derivative needs x^-1.

// A = X D Y by complete pivoting: |det X| = |det Y| = 1, and no element of the factors is large.
template <class T>
struct Ldu {
  int64_t n;
  std::vector<T> x;  // X^-1
  std::vector<T> d;
  std::vector<T> y;  // Y^-1
  T sign = 1;        // det X * det Y

  Ldu(const T* matrix, int64_t size);

 private:
  // Brings the largest element of the rest to (k, k).
  void Pivot(std::vector<T>& rest, int64_t k);
};

template <class T>
Ldu<T>::Ldu(const T* matrix, int64_t size)
    : n(size), x(size_t(size * size)), d(size_t(size)), y(size_t(size * size)) {
  std::vector<T> rest(matrix, matrix + n * n);
  for (int64_t i = 0; i < n; ++i) x[size_t(i * n + i)] = y[size_t(i * n + i)] = T(1);
  for (int64_t k = 0; k < n; ++k) {
    Pivot(rest, k);
    const T pivot = d[size_t(k)] = rest[size_t(k * n + k)];
    if (pivot == T(0)) continue;
    for (int64_t i = k + 1; i < n; ++i) {
      const T down = rest[size_t(i * n + k)] / pivot;
      const T across = rest[size_t(k * n + i)] / pivot;
      for (int64_t j = 0; j < n; ++j) {
        x[size_t(i * n + j)] -= down * x[size_t(k * n + j)];
        y[size_t(j * n + i)] -= across * y[size_t(j * n + k)];
      }
      for (int64_t j = k + 1; j < n; ++j) rest[size_t(i * n + j)] -= down * rest[size_t(k * n + j)];
    }
  }
}

template <class T>
void Ldu<T>::Pivot(std::vector<T>& rest, int64_t k) {
  int64_t row = k;
  int64_t column = k;
  for (int64_t i = k; i < n; ++i) {
    for (int64_t j = k; j < n; ++j) {
      const T best = std::abs(rest[size_t(row * n + column)]);
      if (std::abs(rest[size_t(i * n + j)]) > best) std::tie(row, column) = std::pair(i, j);
    }
  }
  if (row != k) {
    sign = -sign;
    std::swap_ranges(&rest[size_t(k * n)], &rest[size_t(k * n)] + n, &rest[size_t(row * n)]);
    std::swap_ranges(&x[size_t(k * n)], &x[size_t(k * n)] + n, &x[size_t(row * n)]);
  }
  if (column == k) return;
  sign = -sign;
  for (int64_t i = 0; i < n; ++i) {
    std::swap(rest[size_t(i * n + k)], rest[size_t(i * n + column)]);
    std::swap(y[size_t(i * n + k)], y[size_t(i * n + column)]);
  }
}

// a b c of square matrices, a and c transposed where asked for.
template <class T>
std::vector<T> Product(const std::vector<T>& a, const T* b, const std::vector<T>& c, int64_t n,
                       bool transposed) {
  const auto at = [=](int64_t i, int64_t j) { return size_t(transposed ? j * n + i : i * n + j); };
  std::vector<T> left(size_t(n * n));
  std::vector<T> product(size_t(n * n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t j = 0; j < n; ++j) left[size_t(i * n + j)] += a[at(i, k)] * b[k * n + j];
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t j = 0; j < n; ++j) {
        product[size_t(i * n + j)] += left[size_t(i * n + k)] * c[at(k, j)];
      }
    }
  }
  return product;
}

// The derivative of a diagonal matrix's cofactors along f.
template <class T>
std::vector<T> DiagonalCofactorGrad(const std::vector<T>& d, const std::vector<T>& f, int64_t n) {
  std::vector<T> g(size_t(n * n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      if (i == j) continue;
      T others = 1;
      for (int64_t k = 0; k < n; ++k) others *= k == i || k == j ? T(1) : d[size_t(k)];
      g[size_t(i * n + j)] = -f[size_t(j * n + i)] * others;
      g[size_t(i * n + i)] += f[size_t(j * n + j)] * others;
    }
  }
  return g;
}

void CofactorGradCpu(KernelContext& context) {
  const int64_t n = context.input(0).dims().back();
  const int64_t count = n == 0 ? 0 : context.input(0).numel() / (n * n);
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
    ParallelFor(count, 1 + (1 << 15) / (1 + n * n * n), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Ldu<T> ldu(context.in<T>(0) + i * n * n, n);
        const std::vector<T> f = Product(ldu.x, context.in<T>(1) + i * n * n, ldu.y, n, false);
        const std::vector<T> g = DiagonalCofactorGrad(ldu.d, f, n);
        const std::vector<T> out = Product(ldu.x, g.data(), ldu.y, n, true);
        std::transform(out.begin(), out.end(), context.out<T>(0) + i * n * n,
                       [&](T element) { return ldu.sign * element; });
      }
    });
  });
}

Specs InferCofactorGrad(const OpCall& call) {
  RequireSquare(call);
  call.RequireSameType(1);
  if (call.dims(0) != call.dims(1)) {
    throw Error(reason::kShapeMismatch,
                fmt::format("x is {}, e is {}", ToString(call.spec(0)), ToString(call.spec(1))));
  }
  return {call.spec(0)};
}

// The third derivative of the determinant along e and dy, with S = x^-1.
Values CofactorGradVjp(const VjpCall& call) {
  const Value x = call.input(0);
  const Value e = call.input(1);
  const Value& g = call.dy();
  Values gradients(2);
  if (call.needs(1)) gradients[1] = Call("gradwire::CofactorGrad", {x, g});
  if (!call.needs(0)) return gradients;
  const Dims matrix{x.rank() - 2, x.rank() - 1};
  const auto product = [&](const Value& a, const Value& b) {  // tr(a b)
    return Sum(a * Transposed(b), matrix, /*keepdims=*/true);
  };
  const Value s = Call("gradwire::Inverse", {x});
  const Value se = MatMul(s, e);
  const Value sg = MatMul(s, g);
  const Value scale = product(s, e) * product(s, g) - product(se, sg);
  const Value crossed = MatMul(se, sg) + MatMul(sg, se);
  const Value factor = crossed - product(s, e) * sg - product(s, g) * se;
  const Value third = scale * s + MatMul(factor, s);
  gradients[0] = Unsqueeze(Call("Det", {x}), matrix) * Transposed(third);
  return gradients;
}

GRADWIRE_OP({.name = "CofactorGrad",
             .domain = "gradwire",
             .inputs = 2,
             .infer = InferCofactorGrad,
             .cpu = CofactorGradCpu,
             .vjp = CofactorGradVjp,
             .saves = kSaveInputs});

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
