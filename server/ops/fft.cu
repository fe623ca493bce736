// Transforms in double precision, as on the CPU: powers of two by halving, all lines at once, a
// launch for each half; other lengths by Bluestein's convolution with a chirp.
#include <bit>
#include <numbers>

#include "backend/cuda/launch.h"
#include "ops/cuda_kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

struct alignas(16) Complex {
  double re = 0;
  double im = 0;
};

GRADWIRE_FN Complex Times(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

// exp(sign 2 pi i k / n).
GRADWIRE_FN Complex RootOfUnity(int64_t k, int64_t n, double sign) {
  const double angle =
      sign * 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
  return {std::cos(angle), std::sin(angle)};
}

// exp(sign pi i k^2 / n).
GRADWIRE_FN Complex Chirp(int64_t k, int64_t n, double sign) {
  const auto squared = static_cast<uint64_t>(k) * static_cast<uint64_t>(k);
  return RootOfUnity(static_cast<int64_t>(squared % static_cast<uint64_t>(2 * n)), 2 * n, sign);
}

// A line's length, a power of two, whose elements are taken in the order of their reversed bits.
struct Order {
  int bits;

  GRADWIRE_FN int64_t length() const { return int64_t{1} << bits; }
  GRADWIRE_FN int64_t Reversed(int64_t k) const {
    int64_t reversed = 0;
    for (int bit = 0; bit < bits; ++bit) reversed |= (k >> bit & 1) << (bits - 1 - bit);
    return reversed;
  }
};

// Pairs of x, n in a line, times the chirp where there is one, and zeros after them.
template <class T>
struct Load {
  Order order;
  int64_t n;
  double sign;
  bool chirped;
  const T* x;
  Complex* lines;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t line = i / order.length();
    const int64_t k = i % order.length();
    Complex value;
    if (k < n) {
      const T* pair = x + 2 * (line * n + k);
      value = {static_cast<double>(pair[0]), static_cast<double>(pair[1])};
      if (chirped) value = Times(value, Chirp(k, n, sign));
    }
    lines[line * order.length() + order.Reversed(k)] = value;
  }
};

// The chirp's conjugate, around the end.
struct LoadFilter {
  Order order;
  int64_t n;
  double sign;
  Complex* line;

  GRADWIRE_FN void operator()(int64_t k) const {
    const int64_t back = order.length() - k;
    Complex value;
    if (k < n || back < n) value = Chirp(k < n ? k : back, n, -sign);
    line[order.Reversed(k)] = value;
  }
};

struct Filter {
  Order order;
  const Complex* lines;
  const Complex* filter;
  Complex* to;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t k = i % order.length();
    to[i - k + order.Reversed(k)] = Times(lines[i], filter[k]);
  }
};

template <class T>
struct Store {
  Order order;
  int64_t n;
  double sign;
  bool chirped;
  const Complex* lines;
  T* y;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t k = i % n;
    Complex value = lines[i / n * order.length() + k];
    if (chirped) {
      value = Times(value, Chirp(k, n, sign));
      const double scale = 1 / static_cast<double>(order.length());
      value = {value.re * scale, value.im * scale};
    }
    y[2 * i] = static_cast<T>(value.re);
    y[2 * i + 1] = static_cast<T>(value.im);
  }
};

// Pair i of all that lie `half` apart.
struct Butterfly {
  int64_t half;
  double sign;
  Complex* x;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t k = i % half;
    Complex* const even = x + 2 * (i - k) + k;
    const Complex odd = Times(even[half], RootOfUnity(k, 2 * half, sign));
    even[half] = {even->re - odd.re, even->im - odd.im};
    *even = {even->re + odd.re, even->im + odd.im};
  }
};

void TransformLines(Stream& stream, const Order& order, int64_t count, double sign, Complex* x) {
  for (int64_t half = 1; half < order.length(); half *= 2) {
    ForEach(stream, count * order.length() / 2, Butterfly{half, sign, x});
  }
}

template <class T>
void Fft(KernelContext& k, int64_t n, int64_t count, double sign) {
  Stream& stream = k.stream();
  const bool chirped = !std::has_single_bit(static_cast<uint64_t>(n));
  const Order order{
      static_cast<int>(std::bit_width(static_cast<uint64_t>(chirped ? 2 * n : n) - 1))};
  const int64_t elements = count * order.length();
  const int64_t room = chirped ? 2 * elements + order.length() : elements;
  const BufferPtr memory = k.Scratch(static_cast<size_t>(room) * sizeof(Complex));
  auto* lines = static_cast<Complex*>(memory->data());
  ForEach(stream, elements, Load<T>{order, n, sign, chirped, k.in<T>(0), lines});
  TransformLines(stream, order, count, chirped ? -1 : sign, lines);
  if (chirped) {
    Complex* const product = lines + elements;
    Complex* const filter = product + elements;
    ForEach(stream, order.length(), LoadFilter{order, n, sign, filter});
    TransformLines(stream, order, 1, -1, filter);
    ForEach(stream, elements, Filter{order, lines, filter, product});
    TransformLines(stream, order, count, 1, product);
    lines = product;
  }
  ForEach(stream, count * n, Store<T>{order, n, sign, chirped, lines, k.out<T>(0)});
}

void FftKernel(KernelContext& k) {
  const Dims& dims = k.input(0).dims();
  if (k.input(0).numel() == 0) return;
  const int64_t n = dims[dims.size() - 2];
  const double sign = k.attributes().Int("inverse", 0) != 0 ? 1 : -1;
  Dispatch(FloatTypes{}, k.input(0).dtype(),
           [&]<class T>() { Fft<T>(k, n, k.input(0).numel() / (2 * n), sign); });
}

GRADWIRE_CUDA_KERNEL("gradwire", "Fft", 1, FftKernel);

}  // namespace
}  // namespace gradwire::cuda
