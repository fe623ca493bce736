// The discrete Fourier transform of any length: gradwire::Fft (x [..., n, 2]) {inverse}, not
// normalised. Pairs of numbers are complex. Linear, it is its own derivative in the other
// direction. Computed in double precision: powers of two by halving, other lengths by Bluestein's
// convolution with a chirp.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"

namespace gradwire {
namespace {

using Complex = std::complex<double>;

// exp(sign 2 pi i k / n).
Complex RootOfUnity(int64_t k, int64_t n, double sign) {
  const double angle =
      sign * 2 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n);
  return {std::cos(angle), std::sin(angle)};
}

// Products without the checks for infinities that std::complex makes.
Complex Times(Complex a, Complex b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

// Transforms of one length that is a power of two.
class Radix2 {
 public:
  Radix2(int64_t n, double sign) : n_(n) {
    for (int64_t k = 0; k < n / 2; ++k) roots_.push_back(RootOfUnity(k, n, sign));
  }

  void Run(Complex* x) const {
    for (int64_t i = 1, j = 0; i < n_; ++i) {  // order by reversed bits
      int64_t bit = n_ >> 1;
      for (; (j & bit) != 0; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) std::swap(x[i], x[j]);
    }
    for (int64_t half = 1; half < n_; half *= 2) {
      const int64_t step = n_ / (2 * half);
      for (int64_t start = 0; start < n_; start += 2 * half) {
        for (int64_t k = 0; k < half; ++k) {
          const Complex odd = Times(x[start + half + k], roots_[size_t(k * step)]);
          x[start + half + k] = x[start + k] - odd;
          x[start + k] += odd;
        }
      }
    }
  }

 private:
  int64_t n_;
  std::vector<Complex> roots_;
};

// Transforms of one length. With 2 j k = j^2 + k^2 - (k - j)^2 a transform is a convolution.
class Transform {
 public:
  Transform(int64_t n, double sign)
      : n_(n),
        direct_(std::has_single_bit(static_cast<uint64_t>(n))),
        m_(direct_ ? n : static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(2 * n)))),
        forward_(m_, direct_ ? sign : -1),
        backward_(direct_ ? 1 : m_, 1) {
    if (direct_) return;
    filter_.assign(static_cast<size_t>(m_), Complex());
    int64_t square = 0;  // k^2 mod 2n
    for (int64_t k = 0; k < n; ++k) {
      chirp_.push_back(RootOfUnity(square, 2 * n, sign));
      filter_[size_t(k)] = std::conj(chirp_.back());
      if (k > 0) filter_[size_t(m_ - k)] = std::conj(chirp_.back());
      square = (square + 2 * k + 1) % (2 * n);
    }
    forward_.Run(filter_.data());
  }

  // Elements that Run needs room for.
  int64_t room() const { return m_; }
  // Transforms the first n elements.
  void Run(Complex* x) const {
    if (direct_) return forward_.Run(x);
    for (int64_t k = 0; k < n_; ++k) x[k] = Times(x[k], chirp_[size_t(k)]);
    std::fill(x + n_, x + m_, Complex());
    forward_.Run(x);
    for (int64_t k = 0; k < m_; ++k) x[k] = Times(x[k], filter_[size_t(k)]);
    backward_.Run(x);
    const double scale = 1 / static_cast<double>(m_);
    for (int64_t k = 0; k < n_; ++k) x[k] = Times(x[k], chirp_[size_t(k)]) * scale;
  }

 private:
  int64_t n_;
  bool direct_;
  int64_t m_;
  Radix2 forward_;
  Radix2 backward_;
  std::vector<Complex> chirp_;
  std::vector<Complex> filter_;
};

Specs InferFft(const OpCall& call) {
  if (call.rank(0) < 2 || call.dims(0).back() != 2) {
    throw Error(reason::kShapeMismatch,
                fmt::format("x is {}, [..., n, 2] is expected", ToString(call.spec(0))));
  }
  return {call.spec(0)};
}

void FftCpu(KernelContext& context) {
  const Dims& dims = context.input(0).dims();
  if (context.input(0).numel() == 0) return;
  const int64_t n = dims[dims.size() - 2];
  const int64_t lines = context.input(0).numel() / (2 * n);
  const Transform transform(n, context.attributes().Int("inverse", 0) != 0 ? 1 : -1);
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
    const T* x = context.in<T>(0);
    T* y = context.out<T>(0);
    ParallelFor(lines, (1 << 12) / n, [=, &transform](int64_t begin, int64_t end) {
      std::vector<Complex> line(static_cast<size_t>(transform.room()));
      for (int64_t at = begin; at < end; ++at) {
        const T* from = x + at * 2 * n;
        T* to = y + at * 2 * n;
        for (int64_t k = 0; k < n; ++k) line[size_t(k)] = {from[2 * k], from[2 * k + 1]};
        transform.Run(line.data());
        for (int64_t k = 0; k < n; ++k) {
          to[2 * k] = static_cast<T>(line[size_t(k)].real());
          to[2 * k + 1] = static_cast<T>(line[size_t(k)].imag());
        }
      }
    });
  });
}

Values FftVjp(const VjpCall& call) {
  const int64_t inverse = call.attributes().Int("inverse", 0) == 0 ? 1 : 0;
  return {Call("gradwire::Fft", {call.dy()}, {{"inverse", inverse}})};
}

GRADWIRE_OP({.name = "Fft",
             .domain = "gradwire",
             .attributes = {"inverse"},
             .infer = InferFft,
             .cpu = FftCpu,
             .vjp = FftVjp});

}  // namespace
}  // namespace gradwire
