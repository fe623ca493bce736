#include <limits>

#include "backend/cuda/launch.h"
#include "backend/cuda/sort.h"
#include "ops/computed.h"
#include "ops/cuda_kernel.h"
#include "ops/sliding.cuh"

namespace gradwire::cuda {
namespace {

template <class T>
struct MaxUnderWindow {
  using C = Computed<T>;
  Sliding window;
  const T* x;
  T* y;
  int64_t* positions;  // or nullptr

  // NaN is above all, as in PyTorch.
  GRADWIRE_STATIC_FN bool IsAbove(C x, C best) { return x > best || x != x; }

  GRADWIRE_FN void operator()(int64_t i) const {
    const Sliding& w = window;
    const int64_t base = i / w.out_size() * w.in_size();
    const Point output = Sliding::Split(i % w.out_size(), w.out);
    C best = std::numeric_limits<C>::has_infinity ? -std::numeric_limits<C>::infinity()
                                                  : std::numeric_limits<C>::lowest();
    int64_t position = -1;
    w.ForInputsUnder(output, [&](int64_t at, int64_t) {
      const C value = Loaded(x[base + at]);
      if (position >= 0 && !IsAbove(value, best)) return;
      best = value;
      position = base + at;
    });
    y[i] = best;
    if (positions != nullptr) positions[i] = position;
  }
};

void MaxPoolKernel(KernelContext& k) {
  const Dims& in = k.input(0).dims();
  const Dims& out = k.output(0).dims();
  const std::vector<int64_t>& kernel = k.attributes().Ints("kernel_shape");
  const Window window = CanonicalWindow(k.attributes(), Dims(kernel.begin(), kernel.end()));
  const Sliding sliding(Geometry(window, SpatialDims(in), SpatialDims(out)));
  int64_t* const positions = k.num_outputs() > 1 ? k.out<int64_t>(1) : nullptr;
  using Types = WithHalves<TypeList<float, double, int8_t, uint8_t>>;
  Dispatch(Types{}, k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), k.output(0).numel(),
            MaxUnderWindow<T>{sliding, k.in<T>(0), k.out<T>(0), positions});
  });
}

// What a position of plane i / y_size means in it; -1: nowhere.
struct Planes {
  int64_t x_size;
  int64_t y_size;

  GRADWIRE_FN int64_t At(const int64_t* positions, int64_t i) const {
    const int64_t first = i / y_size * x_size;
    return positions[i] >= first && positions[i] < first + x_size ? positions[i] : -1;
  }
};

Planes PlanesOf(const Tensor& x, const Tensor& y) {
  return {NumElements(SpatialDims(x.dims())), NumElements(SpatialDims(y.dims()))};
}

template <class T>
struct Take {
  Planes planes;
  const T* x;
  const int64_t* positions;
  T* y;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t at = planes.At(positions, i);
    y[i] = at < 0 ? T(0) : x[at];
  }
};

void TakeKernel(KernelContext& k) {
  const Planes planes = PlanesOf(k.input(0), k.output(0));
  Dispatch(WithHalves<FloatTypes>{}, k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), k.output(0).numel(),
            Take<T>{planes, k.in<T>(0), k.in<int64_t>(1), k.out<T>(0)});
  });
}

// Nowhere sorts behind all places.
struct Key {
  Planes planes;
  const int64_t* positions;
  int64_t* keys;
  int64_t* numbers;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t at = planes.At(positions, i);
    keys[i] = at < 0 ? std::numeric_limits<int64_t>::max() : at;
    numbers[i] = i;
  }
};

// The first of those that go to one place adds them all up, in their order.
template <class T>
struct AddAtPlaces {
  const int64_t* places;
  const int64_t* numbers;
  int64_t count;
  const T* dy;
  T* dx;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t place = places[i];
    if (place == std::numeric_limits<int64_t>::max() || (i > 0 && places[i - 1] == place)) return;
    Computed<T> sum = 0;
    for (int64_t j = i; j < count && places[j] == place; ++j) sum += Loaded(dy[numbers[j]]);
    dx[place] = sum;
  }
};

void GradKernel(KernelContext& k) {
  const Planes planes = PlanesOf(k.output(0), k.input(0));
  const int64_t n = k.input(0).numel();
  k.stream().Zero(k.out<void>(0), k.output(0).bytes());
  if (n == 0) return;
  const BufferPtr memory = k.Scratch(4 * static_cast<size_t>(n) * sizeof(int64_t));
  auto* const keys = static_cast<int64_t*>(memory->data());
  int64_t* const numbers = keys + n;
  int64_t* const places = keys + 2 * n;
  int64_t* const sorted = keys + 3 * n;
  ForEach(k.stream(), n, Key{planes, k.in<int64_t>(1), keys, numbers});
  SortPairs(k.stream(), n, keys, places, numbers, sorted);
  Dispatch(WithHalves<FloatTypes>{}, k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), n, AddAtPlaces<T>{places, sorted, n, k.in<T>(0), k.out<T>(0)});
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "MaxPool", 1, MaxPoolKernel, kHalvesInFirst);
GRADWIRE_CUDA_KERNEL("gradwire", "MaxPoolGrad", 1, GradKernel, kHalvesInFirst);
GRADWIRE_CUDA_KERNEL("gradwire", "MaxPoolTake", 1, TakeKernel, kHalvesInFirst);

}  // namespace
}  // namespace gradwire::cuda
