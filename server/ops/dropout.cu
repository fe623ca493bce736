#include <memory>

#include "backend/cuda/launch.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/dropout.h"
#include "ops/philox.h"

namespace gradwire::cuda {
namespace {

// Four elements of the mask, those that block i of the stream of numbers decides on.
struct DrawMask {
  const int64_t* seed;
  float threshold;
  int64_t n;
  bool* mask;

  GRADWIRE_FN void operator()(int64_t i) const {
    const PhiloxBlock bits = Philox(static_cast<uint64_t>(i), static_cast<uint64_t>(*seed));
    for (int64_t j = 0; j < 4 && 4 * i + j < n; ++j) {
      mask[4 * i + j] = ToUniform(bits[static_cast<size_t>(j)]) >= threshold;
    }
  }
};

template <class T>
struct Keep {
  const T* x;
  const bool* mask;
  Computed<T> scale;
  T* y;

  GRADWIRE_FN void operator()(int64_t i) const {
    y[i] = mask[i] ? Loaded(x[i]) * scale : Computed<T>(0);
  }
};

// NumPy's generator goes number by number: it runs on the host.
void UploadNumpyMask(KernelContext& k, double ratio) {
  const auto n = static_cast<size_t>(k.output(0).numel());
  int64_t seed = 0;
  k.stream().Download(*k.input(1).buffer(), &seed, sizeof(seed));
  const auto mask = std::make_unique<bool[]>(n);
  DrawNumpyMask(static_cast<uint64_t>(seed), ratio, static_cast<int64_t>(n), mask.get());
  k.stream().Upload(mask.get(), *k.output(1).buffer(), n);
}

void DropoutKernel(KernelContext& k) {
  const int64_t n = k.output(0).numel();
  const double ratio = k.attributes().Float("ratio");
  bool* const mask = k.out<bool>(1);
  if (k.attributes().Int("numpy", 0) != 0) {
    UploadNumpyMask(k, ratio);
  } else {
    ForEach(k.stream(), (n + 3) / 4,
            DrawMask{k.in<int64_t>(1), static_cast<float>(ratio), n, mask});
  }
  Dispatch(WithHalves<FloatTypes>{}, k.output(0).dtype(), [&]<class T>() {
    const auto scale = static_cast<Computed<T>>(KeptScale(k.attributes()));
    ForEach(k.stream(), n, Keep<T>{k.in<T>(0), mask, scale, k.out<T>(0)});
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "Dropout", 1, DropoutKernel, kHalvesInFirst);

}  // namespace
}  // namespace gradwire::cuda
