// NVRTC, CUDA's run-time compiler, opened when it is first used: who has none does without
// generated kernels. It needs no GPU.
#ifndef GRADWIRE_BACKEND_CUDA_NVRTC_H_
#define GRADWIRE_BACKEND_CUDA_NVRTC_H_

#include <string>

namespace gradwire::cuda {

// The cubin of a C++20 source for a capability ("9.0"). It may include the headers that
// device_headers.h has; products and sums are not contracted, as in the library's own kernels.
// Throws OP_UNSUPPORTED with why there is no NVRTC, or what it says of the source. Thread-safe.
std::string CompileToCubin(const std::string& source, const std::string& capability);

// "NVRTC 13.0", or why there is none.
std::string NvrtcVersion();

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_NVRTC_H_
