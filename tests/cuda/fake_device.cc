#include "tests/cuda/fake_device.h"

#include "backend/cuda/registration.h"
#include "tests/ops/device.h"

namespace gradwire::testing {

void InstallFakeKernels() {
  static const bool installed = (cuda::InstallKernels(), true);
  static_cast<void>(installed);
}

Backend& DeviceUnderTest() {
  static FakeGpu gpu;
  return gpu.backend();
}

Backend& SecondDevice() {
  static FakeGpu gpu(size_t{1} << 30, SIZE_MAX, 1);
  return gpu.backend();
}

PlanTolerance ToleranceOfPlans() { return {}; }

}  // namespace gradwire::testing
