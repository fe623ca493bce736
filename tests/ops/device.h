// The device that operators' rows, sessions and plans are tested on.
#ifndef GRADWIRE_TESTS_OPS_DEVICE_H_
#define GRADWIRE_TESTS_OPS_DEVICE_H_

#include "backend/backend.h"

namespace gradwire::testing {

// As the executable has it: see tests/cuda/.
Backend& DeviceUnderTest();
// Another one for sessions to move to: of its kind, or a CPU where there is one GPU.
Backend& SecondDevice();

// How far what a plan computes there may be from the same operators run one by one, relative to
// 1 + |x|. 0: it is the same to the bit.
struct PlanTolerance {
  double chains = 0;    // of elementwise operators
  double products = 0;  // with a bias or an activation
};
PlanTolerance ToleranceOfPlans();

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_OPS_DEVICE_H_
