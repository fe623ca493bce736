// Rows run on the CPU; with GRADWIRE_TEST_DEVICE=cuda:0 on the GPU, if there is one.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/library.h"
#include "tests/ops/device.h"

namespace gradwire::testing {
namespace {

constexpr int kNotRun = 77;

Backend& Cpu() {
  static CpuBackend cpu;
  return cpu;
}

Backend& OpenGpu() {
  cuda::Gpus gpus = cuda::OpenGpus(cuda::kLibraryName);
  if (gpus.drivers.empty()) {
    std::fprintf(stderr, "%s\n", gpus.missing.c_str());
    std::exit(kNotRun);
  }
  static cuda::CudaBackend gpu(0, std::move(gpus.drivers[0]), Cpu());
  return gpu;
}

}  // namespace

Backend& DeviceUnderTest() {
  const char* const name = std::getenv("GRADWIRE_TEST_DEVICE");
  static Backend& device = name != nullptr && std::string(name) == "cuda:0" ? OpenGpu() : Cpu();
  return device;
}

}  // namespace gradwire::testing
