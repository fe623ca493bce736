#include <numbers>

#include "backend/cuda/launch.h"
#include "ops/cuda_kernel.h"
#include "ops/philox.h"

namespace gradwire::cuda {
namespace {

// Block i of the stream of numbers, as on the CPU: R is what is computed in.
template <class R, class T, class Draw>
struct Fill {
  static constexpr int kPerBlock = 16 / sizeof(R);
  const int64_t* seed;
  T* y;
  int64_t n;
  Draw draw;

  GRADWIRE_FN void operator()(int64_t i) const {
    const PhiloxBlock bits = Philox(static_cast<uint64_t>(i), static_cast<uint64_t>(*seed));
    R numbers[kPerBlock];
    for (int j = 0; j < kPerBlock; ++j) {
      if constexpr (kPerBlock == 4) {
        numbers[j] = ToUniform(bits[j]);
      } else {
        numbers[j] = ToUniform(bits[2 * j], bits[2 * j + 1]);
      }
    }
    draw(numbers, kPerBlock);
    for (int j = 0; j < kPerBlock && i * kPerBlock + j < n; ++j) {
      y[i * kPerBlock + j] = static_cast<T>(numbers[j]);
    }
  }
};

template <class R>
struct ToRange {
  R low;
  R width;
  GRADWIRE_FN void operator()(R* numbers, int count) const {
    for (int j = 0; j < count; ++j) numbers[j] = low + width * numbers[j];
  }
};

// Box and Muller's transform, which makes two normal numbers of two uniform ones.
template <class R>
struct ToNormal {
  R mean;
  R scale;
  GRADWIRE_FN void operator()(R* numbers, int count) const {
    for (int j = 0; j < count; j += 2) {
      const R radius = scale * std::sqrt(R(-2) * std::log(R(1) - numbers[j]));
      const R angle = R(2) * std::numbers::pi_v<R> * numbers[j + 1];
      numbers[j] = mean + radius * std::cos(angle);
      numbers[j + 1] = mean + radius * std::sin(angle);
    }
  }
};

template <template <class> class Draw>
void RandomKernel(KernelContext& k, std::string_view first, std::string_view second) {
  using Types = TypeList<float, double, Float16, BFloat16>;
  const double a = k.attributes().Float(first, 0);
  const double b = k.attributes().Float(second, 1);
  Dispatch(Types{}, k.output(0).dtype(), [&]<class T>() {
    using R = std::conditional_t<std::is_same_v<T, double>, double, float>;
    using Filled = Fill<R, T, Draw<R>>;
    const int64_t n = k.output(0).numel();
    const R low = static_cast<R>(a);
    const R high = static_cast<R>(b);
    const bool range = std::is_same_v<Draw<R>, ToRange<R>>;
    ForEach(k.stream(), (n + Filled::kPerBlock - 1) / Filled::kPerBlock,
            Filled{k.in<int64_t>(0), k.out<T>(0), n, Draw<R>{low, range ? high - low : high}});
  });
}

void UniformKernel(KernelContext& k) { RandomKernel<ToRange>(k, "low", "high"); }
void NormalKernel(KernelContext& k) { RandomKernel<ToNormal>(k, "mean", "scale"); }

GRADWIRE_CUDA_KERNEL("gradwire", "Uniform", 1, UniformKernel);
GRADWIRE_CUDA_KERNEL("gradwire", "Normal", 1, NormalKernel);

}  // namespace
}  // namespace gradwire::cuda
