// The library gradwire_cuda: all that needs CUDA, opened at run time, so that the server runs where
// there is none.
#ifndef GRADWIRE_BACKEND_CUDA_LIBRARY_H_
#define GRADWIRE_BACKEND_CUDA_LIBRARY_H_

#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/driver.h"

namespace gradwire::cuda {

struct Gpus {
  std::vector<std::unique_ptr<Driver>> drivers;
  // Why there are none, or not more; empty where all GPUs are there.
  std::string missing;
};

// Opens the library, which gives operators their CUDA kernels, and never closes it. `path` without
// a slash is looked for beside the program, then where the system looks. Not thread-safe: before
// operators are used.
Gpus OpenGpus(const std::string& path);

// What the library exports under kOpenSymbol. It fills in the drivers, or what is missing.
using OpenFunction = void (*)(Gpus& gpus);
inline constexpr const char* kOpenSymbol = "gradwire_cuda_open";
inline constexpr const char* kLibraryName = "libgradwire_cuda.so";

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_LIBRARY_H_
