#include <algorithm>

#include "backend/cuda/launch.h"
#include "core/strided.h"
#include "ops/cuda_kernel.h"
#include "ops/slice.h"
#include "ops/value_check.cuh"

namespace gradwire::cuda {
namespace {

struct IsLength {
  int64_t extent;
  GRADWIRE_FN bool operator()(int64_t length) const { return length >= 0 && length <= extent; }
};

// Elements of [batch, time, ...], whose extents before the rest may lie either way around.
template <class T>
struct Reverse {
  const T* x;
  const int64_t* lengths;
  T* y;
  int64_t batches, batch_stride;
  int64_t times, time_stride;
  int64_t inner;

  GRADWIRE_FN void operator()(int64_t i) const {
    const int64_t rest = i % inner;
    const int64_t batch = i / batch_stride % batches;
    const int64_t time = i / time_stride % times;
    const int64_t length = std::clamp<int64_t>(lengths[batch], 0, times);
    const int64_t from = time < length ? length - 1 - time : time;
    y[i] = x[batch * batch_stride + from * time_stride + rest];
  }
};

void ReverseSequenceKernel(KernelContext& k) {
  const Dims& dims = k.input(0).dims();
  const auto batch = static_cast<size_t>(k.attributes().Int("batch_axis", 1));
  const size_t time = 1 - batch;
  const Dims strides = Strides(dims);
  const int64_t* const lengths = k.in<int64_t>(1);
  CheckValues(k, lengths, dims[batch], IsLength{dims[time]},
              [extent = dims[time]](const Bad& bad) { RefuseLength(bad.value, extent); });
  DispatchWidth(k.input(0).dtype(), [&]<class T>() {
    ForEach(k.stream(), k.input(0).numel(),
            Reverse<T>{k.in<T>(0), lengths, k.out<T>(0), dims[batch], strides[batch], dims[time],
                       strides[time], strides[1]});
  });
}

GRADWIRE_CUDA_KERNEL("", "ReverseSequence", 10, ReverseSequenceKernel);

}  // namespace
}  // namespace gradwire::cuda
