#include "backend/cuda/launch.h"
#include "ops/cuda_kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {
namespace {

// The last key that equals x[i], or `count`.
template <class T>
struct FindKey {
  const T* x;
  const T* keys;
  int64_t count;
  int64_t* y;

  // NaN equals NaN.
  GRADWIRE_STATIC_FN bool Same(T a, T b) { return a == b || (a != a && b != b); }

  GRADWIRE_FN void operator()(int64_t i) const {
    int64_t key = count - 1;
    while (key >= 0 && !Same(x[i], keys[key])) --key;
    y[i] = key < 0 ? count : key;
  }
};

void KeyIndexKernel(KernelContext& k) {
  using Types = TypeList<int64_t, int32_t, int16_t, float, double>;
  Dispatch(Types{}, k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), k.output(0).numel(),
            FindKey<T>{k.in<T>(0), k.in<T>(1), k.input(1).numel(), k.out<int64_t>(0)});
  });
}

GRADWIRE_CUDA_KERNEL("gradwire", "KeyIndex", 1, KeyIndexKernel);

}  // namespace
}  // namespace gradwire::cuda
