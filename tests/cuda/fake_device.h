// The device that the CPU plays, with the operators' CUDA kernels.
#ifndef GRADWIRE_TESTS_CUDA_FAKE_DEVICE_H_
#define GRADWIRE_TESTS_CUDA_FAKE_DEVICE_H_

#include <cstdint>
#include <memory>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/cuda_backend.h"
#include "tests/cuda/fake_driver.h"

namespace gradwire::testing {

// Makes the CUDA kernels operators' own, once.
void InstallFakeKernels();

// A GPU of its own.
class FakeGpu {
 public:
  explicit FakeGpu(size_t memory_bytes = size_t{1} << 30, size_t max_bytes = SIZE_MAX,
                   int index = 0) {
    InstallFakeKernels();
    auto fake = std::make_unique<FakeDriver>(memory_bytes);
    driver_ = fake.get();
    backend_ = std::make_unique<cuda::CudaBackend>(index, std::move(fake), cpu_, max_bytes);
  }
  cuda::CudaBackend& backend() { return *backend_; }
  // REQUIRES: the backend is there.
  FakeDriver& driver() { return *driver_; }
  // Gives the backend away.
  std::unique_ptr<Backend> Release() { return std::move(backend_); }

 private:
  CpuBackend cpu_;
  FakeDriver* driver_;
  std::unique_ptr<cuda::CudaBackend> backend_;
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_CUDA_FAKE_DEVICE_H_
