// Convolutions through cuDNN. The library gradwire_cuda implements it, over a libcudnn that it
// opens when it is first asked; the tests have none.
#ifndef GRADWIRE_BACKEND_CUDA_CONVOLUTION_H_
#define GRADWIRE_BACKEND_CUDA_CONVOLUTION_H_

#include <array>
#include <cstdint>

#include "backend/backend.h"

namespace gradwire::cuda {

// x[batch, groups * in_channels, ...], w[groups * out_channels, in_channels, ...] and
// y[batch, groups * out_channels, ...], row-major; the window as in ops/window.h. One of the three
// arrays is made of the others: which one, `makes` says. What stands for a derivative is named as
// what it is the derivative of.
struct Convolution {
  enum class Makes { kY, kX, kW };
  using Triple = std::array<int64_t, 3>;

  Makes makes = Makes::kY;
  DType dtype = DType::kFloat32;
  int64_t batch = 0, groups = 0;
  int64_t in_channels = 0, out_channels = 0;  // of one group
  Triple in{}, kernel{}, stride{}, dilation{}, begin{}, out{};

  auto operator<=>(const Convolution&) const = default;
};

struct ConvolutionArrays {
  void* x;
  void* w;
  void* y;
};

// Queues the convolution, as exact as the stream's math mode demands. False, and nothing was
// queued, where cuDNN is not there or has no engine for it that does so. REQUIRES: extents of at
// least 1; a CudaStream.
bool Convolve(Stream& stream, const Convolution& convolution, const ConvolutionArrays& arrays);

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_CONVOLUTION_H_
