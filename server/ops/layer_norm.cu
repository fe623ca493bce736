#include <algorithm>
#include <span>

#include "backend/cuda/launch.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

struct Add {
  GRADWIRE_FN double operator()(double a, double b) const { return a + b; }
};

// Rows of `length` elements, each normalised; all sums are kept in double.
template <class T>
struct Normalize {
  int64_t length;
  bool centered;
  double epsilon;
  const T* x;
  const T* scale;  // or nullptr
  const T* bias;   // or nullptr
  T* y;
  Computed<T>* mean;
  Computed<T>* inverse;

  GRADWIRE_DEVICE void operator()(const Team& team, int64_t row) const {
    const T* from = x + row * length;
    double center = 0;
    if (centered) {
      double sum = 0;
      for (int64_t i = team.rank(); i < length; i += team.size()) sum += double(from[i]);
      center = team.Combine(sum, Add()) / double(length);
    }
    double squares = 0;
    for (int64_t i = team.rank(); i < length; i += team.size()) {
      const double deviation = double(from[i]) - center;
      squares += deviation * deviation;
    }
    const double variance = team.Combine(squares, Add()) / double(length);
    const double factor = 1 / std::sqrt(variance + epsilon);
    for (int64_t i = team.rank(); i < length; i += team.size()) {
      double value = (double(from[i]) - center) * factor;
      if (scale != nullptr) value *= double(scale[i]);
      if (bias != nullptr) value += double(bias[i]);
      y[row * length + i] = Stored<T>(value);
    }
    if (team.rank() != 0) return;
    mean[row] = static_cast<Computed<T>>(center);
    inverse[row] = static_cast<Computed<T>>(factor);
  }
};

struct Extents {
  int64_t rows;
  int64_t length;
};

Extents ExtentsOf(const Dims& dims, const Attributes& attributes) {
  const auto axis = static_cast<size_t>(attributes.Int("axis"));
  return {NumElements(std::span<const int64_t>(dims).first(axis)),
          NumElements(std::span<const int64_t>(dims).subspan(axis))};
}

void LayerNormKernel(KernelContext& k) {
  const Extents e = ExtentsOf(k.input(0).dims(), k.attributes());
  Dispatch(WithHalves<FloatTypes>{}, k.input(0).dtype(), [&]<class T>() {
    ForRows(
        k.stream(), e.rows, e.length,
        Normalize<T>{e.length, k.attributes().Int("center") != 0, k.attributes().Float("epsilon"),
                     k.in<T>(0), k.has(1) ? k.in<T>(1) : nullptr, k.has(2) ? k.in<T>(2) : nullptr,
                     k.out<T>(0), k.out<Computed<T>>(1), k.out<Computed<T>>(2)});
  });
}

// What both parts of the gradient read: dy, x, and each row's mean and 1 / deviation.
template <class T>
struct Saved {
  int64_t rows;
  int64_t length;
  const T* dy;
  const T* x;
  const Computed<T>* mean;
  const Computed<T>* inverse;

  GRADWIRE_FN double Unit(int64_t row, int64_t i) const {
    return (double(x[row * length + i]) - double(mean[row])) * double(inverse[row]);
  }
  GRADWIRE_FN double Dy(int64_t row, int64_t i) const { return double(dy[row * length + i]); }
};

// dx of a row: (g - mean(g) - unit mean(g unit)) inverse, g = dy scale.
template <class T>
struct RowGrad {
  Saved<T> saved;
  bool centered;
  const T* scale;  // or nullptr
  T* dx;

  GRADWIRE_FN double G(int64_t row, int64_t i) const {
    return saved.Dy(row, i) * (scale == nullptr ? 1.0 : double(scale[i]));
  }
  GRADWIRE_DEVICE void operator()(const Team& team, int64_t row) const {
    double sum = 0;
    double product = 0;
    for (int64_t i = team.rank(); i < saved.length; i += team.size()) {
      const double g = G(row, i);
      sum += g;
      product += g * saved.Unit(row, i);
    }
    sum = centered ? team.Combine(sum, Add()) / double(saved.length) : 0.0;
    product = team.Combine(product, Add()) / double(saved.length);
    for (int64_t i = team.rank(); i < saved.length; i += team.size()) {
      const double value = G(row, i) - sum - saved.Unit(row, i) * product;
      dx[row * saved.length + i] = Stored<T>(value * double(saved.inverse[row]));
    }
  }
};

// What comes to a column's scale and its bias.
struct ColumnSums {
  double scale;
  double bias;
};

// Of each column `parts` sums, by a thread each: neighbours read what lies beside.
template <class T>
struct SumColumns {
  Saved<T> saved;
  int64_t parts;
  ColumnSums* sums;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t column = i % saved.length;
    const int64_t part = i / saved.length;
    ColumnSums sum{0, 0};
    for (int64_t row = part; row < saved.rows; row += parts) {
      sum.scale += saved.Dy(row, column) * saved.Unit(row, column);
      sum.bias += saved.Dy(row, column);
    }
    sums[column * parts + part] = sum;
  }
};

template <class T>
struct ColumnGrad {
  const ColumnSums* sums;
  int64_t parts;
  T* dscale;
  T* dbias;

  GRADWIRE_DEVICE void operator()(const Team& team, int64_t column) const {
    double scale = 0;
    double bias = 0;
    for (int64_t part = team.rank(); part < parts; part += team.size()) {
      scale += sums[column * parts + part].scale;
      bias += sums[column * parts + part].bias;
    }
    scale = team.Combine(scale, Add());
    bias = team.Combine(bias, Add());
    if (team.rank() != 0) return;
    dscale[column] = Stored<T>(scale);
    dbias[column] = Stored<T>(bias);
  }
};

template <class T>
void SumOverRows(KernelContext& k, const Saved<T>& saved) {
  constexpr int64_t kManyThreads = 1 << 18;
  constexpr int64_t kFew = 16;  // rows that are not worth a second thread
  const int64_t wanted = kManyThreads / std::max<int64_t>(1, saved.length);
  const int64_t parts = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, saved.rows / kFew));
  const BufferPtr memory =
      k.Scratch(static_cast<size_t>(saved.length * parts) * sizeof(ColumnSums));
  auto* const sums = static_cast<ColumnSums*>(memory->data());
  ForEach(k.stream(), saved.length * parts, SumColumns<T>{saved, parts, sums});
  ForRows(k.stream(), saved.length, parts, ColumnGrad<T>{sums, parts, k.out<T>(1), k.out<T>(2)});
}

void LayerNormGradKernel(KernelContext& k) {
  const Extents e = ExtentsOf(k.input(0).dims(), k.attributes());
  Dispatch(WithHalves<FloatTypes>{}, k.input(0).dtype(), [&]<class T>() {
    using Statistic = Computed<T>;
    const Saved<T> saved{e.rows,     e.length,           k.in<T>(0),
                         k.in<T>(1), k.in<Statistic>(2), k.in<Statistic>(3)};
    ForRows(k.stream(), e.rows, e.length,
            RowGrad<T>{saved, k.attributes().Int("center") != 0, k.has(4) ? k.in<T>(4) : nullptr,
                       k.out<T>(0)});
    if (k.num_outputs() > 1) SumOverRows(k, saved);
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "LayerNorm", 1, LayerNormKernel, kHalvesInAll);
GRADWIRE_CUDA_KERNEL("gradwire", "LayerNormGrad", 1, LayerNormGradKernel,
                     KernelTraits{.halves = 0b10011});  // statistics are float32

}  // namespace
}  // namespace gradwire::cuda
