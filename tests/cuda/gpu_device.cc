// Tests run on the CPU; with GRADWIRE_TEST_DEVICE=cuda:0 on the GPU, if there is one.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/library.h"
#include "backend/cuda/nvrtc.h"
#include "tests/ops/device.h"

namespace gradwire::testing {
namespace {

constexpr int kNotRun = 77;
// Sums of float32 in another order.
constexpr double kRounding = 1e-3;

Backend& Cpu() {
  static CpuBackend cpu;
  return cpu;
}

bool WantsGpu() {
  const char* const name = std::getenv("GRADWIRE_TEST_DEVICE");
  return name != nullptr && std::string(name) == "cuda:0";
}

// All of the machine's.
const std::vector<std::unique_ptr<Backend>>& Gpus() {
  static const auto backends = [] {
    cuda::Gpus gpus = cuda::OpenGpus(cuda::kLibraryName);
    if (gpus.drivers.empty()) {
      std::fprintf(stderr, "%s\n", gpus.missing.c_str());
      std::exit(kNotRun);
    }
    std::vector<std::unique_ptr<Backend>> opened;
    for (auto& driver : gpus.drivers) {
      const auto index = static_cast<int>(opened.size());
      opened.push_back(std::make_unique<cuda::CudaBackend>(index, std::move(driver), Cpu()));
    }
    return opened;
  }();
  return backends;
}

}  // namespace

Backend& DeviceUnderTest() {
  static Backend& device = WantsGpu() ? *Gpus()[0] : Cpu();
  return device;
}

Backend& SecondDevice() { return WantsGpu() && Gpus().size() > 1 ? *Gpus()[1] : Cpu(); }

// Generated kernels are those of the library where NVRTC is of the release that compiled it.
PlanTolerance ToleranceOfPlans() {
  if (!WantsGpu()) return {};
  const std::string built_with = DeviceUnderTest().Describe().library;
  const std::string release = built_with.substr(0, built_with.find(','));  // "CUDA 13.0"
  const bool same = cuda::NvrtcVersion() == "NVRTC" + release.substr(release.find(' '));
  return {.chains = same ? 0 : kRounding, .products = kRounding};
}

}  // namespace gradwire::testing
