// The device that operators' rows are run on.
#ifndef GRADWIRE_TESTS_OPS_DEVICE_H_
#define GRADWIRE_TESTS_OPS_DEVICE_H_

#include "backend/backend.h"

namespace gradwire::testing {

// As the executable has it: see tests/cuda/.
Backend& DeviceUnderTest();

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_OPS_DEVICE_H_
