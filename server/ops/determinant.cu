// As on the CPU (determinant.cc says how), with a team of threads for each matrix.
#include <cmath>
#include <limits>
#include <span>

#include "backend/cuda/launch.h"
#include "ops/cuda_kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

// f(i) for each i in [0, n), by all threads of a team; what they write there, all see afterwards.
template <class F>
GRADWIRE_DEVICE void Share(const Team& team, int64_t n, const F& f) {
  for (int64_t i = team.rank(); i < n; i += team.size()) f(i);
  team.Sync();
}

// A square matrix, row by row.
template <class T>
struct Matrix {
  T* elements;
  int64_t n;

  GRADWIRE_FN T& operator()(int64_t row, int64_t column) const {
    return elements[row * n + column];
  }
  GRADWIRE_DEVICE void Swap(T& a, T& b) const {
    const T kept = a;
    a = b;
    b = kept;
  }
  GRADWIRE_DEVICE void SwapRows(const Team& team, int64_t a, int64_t b) const {
    Share(team, a == b ? 0 : n, [&](int64_t i) { Swap((*this)(a, i), (*this)(b, i)); });
  }
  GRADWIRE_DEVICE void SwapColumns(const Team& team, int64_t a, int64_t b) const {
    Share(team, a == b ? 0 : n, [&](int64_t i) { Swap((*this)(i, a), (*this)(i, b)); });
  }
};

// An element by its magnitude.
template <class T>
struct Pivot {
  T magnitude;
  int32_t row;
  int32_t column;
};

// Of equals the first.
struct Larger {
  template <class T>
  GRADWIRE_FN Pivot<T> operator()(const Pivot<T>& a, const Pivot<T>& b) const {
    if (a.magnitude != b.magnitude) return a.magnitude > b.magnitude ? a : b;
    if (a.row != b.row) return a.row < b.row ? a : b;
    return a.column <= b.column ? a : b;
  }
};

// The largest element in rows from k on, and `columns` columns from k on.
template <class T>
GRADWIRE_DEVICE Pivot<T> FindPivot(const Team& team, const Matrix<T>& a, int64_t k,
                                   int64_t columns) {
  Pivot<T> best{T(-1), static_cast<int32_t>(k), static_cast<int32_t>(k)};
  for (int64_t i = team.rank(); i < (a.n - k) * columns; i += team.size()) {
    const int64_t row = k + i / columns;
    const int64_t column = k + i % columns;
    best = Larger()(best, Pivot<T>{std::abs(a(row, column)), static_cast<int32_t>(row),
                                   static_cast<int32_t>(column)});
  }
  return team.Combine(best, Larger());
}

// P A = L U. Threads have the sign each for itself.
template <class T>
struct Lu {
  Matrix<T> factors;
  int64_t* rows;
  T sign = 1;

  GRADWIRE_DEVICE void Factor(const Team& team, const T* matrix) {
    const int64_t n = factors.n;
    Share(team, n * n, [&](int64_t i) { factors.elements[i] = matrix[i]; });
    Share(team, n, [&](int64_t i) { rows[i] = i; });
    for (int64_t k = 0; k < n; ++k) {
      const int64_t pivot = FindPivot(team, factors, k, 1).row;
      factors.SwapRows(team, k, pivot);
      Share(team, pivot == k ? 0 : 1, [&](int64_t) {
        const int64_t kept = rows[k];
        rows[k] = rows[pivot];
        rows[pivot] = kept;
      });
      if (pivot != k) sign = -sign;
      const T diagonal = factors(k, k);
      if (diagonal == T(0)) continue;
      const int64_t rest = n - k - 1;
      Share(team, rest, [&](int64_t i) { factors(k + 1 + i, k) /= diagonal; });
      Share(team, rest * rest, [&](int64_t i) {
        const int64_t row = k + 1 + i / rest;
        const int64_t column = k + 1 + i % rest;
        factors(row, column) -= factors(row, k) * factors(k, column);
      });
    }
  }
  GRADWIRE_DEVICE T Determinant() const {
    T product = sign;
    for (int64_t i = 0; i < factors.n; ++i) product *= factors(i, i);
    return product;
  }
  GRADWIRE_DEVICE void Perturb(const Team& team) const {
    const int64_t n = factors.n;
    T largest = 0;
    for (int64_t i = team.rank(); i < n * n; i += team.size()) {
      const T magnitude = std::abs(factors.elements[i]);
      largest = magnitude > largest ? magnitude : largest;
    }
    largest = team.Combine(largest, [](T a, T b) { return a > b ? a : b; });
    const T least = (largest > 0 ? largest : T(1)) * std::numeric_limits<T>::epsilon();
    Share(team, n, [&](int64_t i) {
      if (factors(i, i) == T(0)) factors(i, i) = least;
    });
  }
  // Times A^-1 e_column, whose elements come to lie `step` apart.
  GRADWIRE_DEVICE void InverseColumn(int64_t column, T factor, T* x, int64_t step) const {
    const int64_t n = factors.n;
    for (int64_t i = 0; i < n; ++i) {
      T sum = rows[i] == column ? T(1) : T(0);
      for (int64_t j = 0; j < i; ++j) sum -= factors(i, j) * x[j * step];
      x[i * step] = sum;
    }
    for (int64_t i = n; i-- > 0;) {
      T sum = x[i * step];
      for (int64_t j = i + 1; j < n; ++j) sum -= factors(i, j) * x[j * step];
      x[i * step] = sum / factors(i, i);
    }
    for (int64_t i = 0; i < n; ++i) x[i * step] *= factor;
  }
};

enum class Makes { kDeterminant, kInverse, kCofactors };

template <class T, Makes kMakes>
struct ByLu {
  int64_t n;
  const T* in;
  T* out;
  T* factors;
  int64_t* rows;

  GRADWIRE_DEVICE void operator()(const Team& team, int64_t i) const {
    Lu<T> lu{{factors + i * n * n, n}, rows + i * n};
    lu.Factor(team, in + i * n * n);
    T* const to = out + i * n * n;
    if constexpr (kMakes == Makes::kDeterminant) {
      if (team.rank() == 0) out[i] = lu.Determinant();
    } else if constexpr (kMakes == Makes::kInverse) {
      Share(team, n, [&](int64_t c) { lu.InverseColumn(c, T(1), to + c, n); });
    } else {
      lu.Perturb(team);
      const T determinant = lu.Determinant();
      Share(team, n, [&](int64_t c) { lu.InverseColumn(c, determinant, to + c * n, 1); });
    }
  }
};

template <Makes kMakes>
void LuKernel(KernelContext& k) {
  const Dims& dims = k.input(0).dims();
  const int64_t n = dims.back();
  const int64_t count = NumElements(std::span<const int64_t>(dims).first(dims.size() - 2));
  Dispatch(FloatTypes{}, k.input(0).dtype(), [&]<class T>() {
    const BufferPtr factors = k.Scratch(static_cast<size_t>(count * n * n) * sizeof(T));
    const BufferPtr rows = k.Scratch(static_cast<size_t>(count * n) * sizeof(int64_t));
    ForRows(k.stream(), count, n * n,
            ByLu<T, kMakes>{n, k.in<T>(0), k.out<T>(0), static_cast<T*>(factors->data()),
                            static_cast<int64_t*>(rows->data())});
  });
}

// A = X D Y by complete pivoting; x and y are the inverses.
template <class T>
struct Ldu {
  Matrix<T> rest, x, y;
  T* d;
  T sign = 1;

  GRADWIRE_DEVICE void Factor(const Team& team, const T* matrix) {
    const int64_t n = rest.n;
    Share(team, n * n, [&](int64_t i) {
      rest.elements[i] = matrix[i];
      x.elements[i] = y.elements[i] = T(i / n == i % n ? 1 : 0);
    });
    for (int64_t k = 0; k < n; ++k) {
      const Pivot<T> pivot = FindPivot(team, rest, k, n - k);
      rest.SwapRows(team, k, pivot.row);
      x.SwapRows(team, k, pivot.row);
      rest.SwapColumns(team, k, pivot.column);
      y.SwapColumns(team, k, pivot.column);
      if ((pivot.row == k) != (pivot.column == k)) sign = -sign;
      const T diagonal = rest(k, k);
      Share(team, 1, [&](int64_t) { d[k] = diagonal; });
      if (diagonal == T(0)) continue;
      Share(team, (n - k - 1) * n, [&](int64_t at) {
        const int64_t i = k + 1 + at / n;
        const int64_t j = at % n;
        const T down = rest(i, k) / diagonal;
        x(i, j) -= down * x(k, j);
        y(j, i) -= rest(k, i) / diagonal * y(j, k);
        if (j > k) rest(i, j) -= down * rest(k, j);
      });
    }
  }
};

template <class T>
struct CofactorGrad {
  int64_t n;
  const T* in;
  const T* along;
  T* out;
  T* memory;  // of each matrix, five of them and a vector

  GRADWIRE_FN T Others(const T* d, int64_t i, int64_t j) const {
    T product = 1;
    for (int64_t k = 0; k < n; ++k) product *= k == i || k == j ? T(1) : d[k];
    return product;
  }
  // The derivative of a diagonal matrix's cofactors along f.
  GRADWIRE_FN T OfDiagonal(const T* d, const Matrix<T>& f, int64_t i, int64_t j) const {
    if (i != j) return -f(j, i) * Others(d, i, j);
    T sum = 0;
    for (int64_t k = 0; k < n; ++k) sum += k == i ? T(0) : f(k, k) * Others(d, i, k);
    return sum;
  }

  GRADWIRE_DEVICE void operator()(const Team& team, int64_t number) const {
    const int64_t size = n * n;
    T* const first = memory + number * (5 * size + n);
    const auto matrix = [&](int64_t i) { return Matrix<T>{first + i * size, n}; };
    Ldu<T> ldu{matrix(0), matrix(1), matrix(2), first + 5 * size};
    ldu.Factor(team, in + number * size);
    const Matrix<T> left = matrix(0), f = matrix(3), g = matrix(4);
    const Matrix<const T> e{along + number * size, n};
    const Matrix<T> result{out + number * size, n};
    const auto each = [&](const auto& element, const Matrix<T>& to) {
      Share(team, size, [&](int64_t i) { to.elements[i] = element(i / n, i % n); });
    };
    const auto sum = [&](const auto& term) {
      T total = 0;
      for (int64_t k = 0; k < n; ++k) total += term(k);
      return total;
    };
    const auto& x = ldu.x;
    const auto& y = ldu.y;
    each([&](int64_t i, int64_t j) { return sum([&](int64_t k) { return x(i, k) * e(k, j); }); },
         left);
    each([&](int64_t i, int64_t j) { return sum([&](int64_t k) { return left(i, k) * y(k, j); }); },
         f);
    each([&](int64_t i, int64_t j) { return OfDiagonal(ldu.d, f, i, j); }, g);
    each([&](int64_t i, int64_t j) { return sum([&](int64_t k) { return x(k, i) * g(k, j); }); },
         left);
    each([&](int64_t i,
             int64_t j) { return ldu.sign * sum([&](int64_t k) { return left(i, k) * y(j, k); }); },
         result);
  }
};

void CofactorGradKernel(KernelContext& k) {
  const int64_t n = k.input(0).dims().back();
  if (k.input(0).numel() == 0) return;
  const int64_t count = k.input(0).numel() / (n * n);
  Dispatch(FloatTypes{}, k.input(0).dtype(), [&]<class T>() {
    const BufferPtr memory = k.Scratch(static_cast<size_t>(count * (5 * n * n + n)) * sizeof(T));
    ForRows(
        k.stream(), count, n * n,
        CofactorGrad<T>{n, k.in<T>(0), k.in<T>(1), k.out<T>(0), static_cast<T*>(memory->data())});
  });
}

GRADWIRE_CUDA_KERNEL("", "Det", 11, LuKernel<Makes::kDeterminant>);
GRADWIRE_CUDA_KERNEL("gradwire", "Inverse", 1, LuKernel<Makes::kInverse>);
GRADWIRE_CUDA_KERNEL("gradwire", "Cofactor", 1, LuKernel<Makes::kCofactors>);
GRADWIRE_CUDA_KERNEL("gradwire", "CofactorGrad", 1, CofactorGradKernel);

}  // namespace
}  // namespace gradwire::cuda
