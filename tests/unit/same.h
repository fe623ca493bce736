// Whether two arrays are the same; for tests.
#ifndef GRADWIRE_TESTS_UNIT_SAME_H_
#define GRADWIRE_TESTS_UNIT_SAME_H_

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <string_view>

#include "core/tensor.h"

namespace gradwire::testing {

// Expects arrays on the host to be the same: to the bit, or where the tolerance is not 0, of floats
// within it, relative to 1 + |x|. A 16-bit float may then be the next one.
inline void ExpectSame(const Tensor& actual, const Tensor& expected, double tolerance,
                       const std::string& what, double half_tolerance = 0x1p-7) {
  ASSERT_EQ(ToString(actual.spec()), ToString(expected.spec())) << what;
  const std::string_view a(actual.data<char>(), actual.bytes());
  if (a == std::string_view(expected.data<char>(), expected.bytes())) return;
  ASSERT_TRUE(tolerance > 0 && (kFloats | kHalves).Contains(expected.dtype()))
      << what << ": other bits";
  if (kHalves.Contains(expected.dtype())) tolerance = half_tolerance;
  Dispatch(TypeList<float, double, Float16, BFloat16>{}, expected.dtype(), [&]<class T>() {
    for (int64_t i = 0; i < expected.numel(); ++i) {
      const auto x = static_cast<double>(actual.data<T>()[i]);
      const auto y = static_cast<double>(expected.data<T>()[i]);
      if (x == y || (std::isnan(x) && std::isnan(y))) continue;
      ASSERT_NEAR(x, y, tolerance * (1 + std::abs(y))) << what << "[" << i << "]";
    }
  });
}

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_UNIT_SAME_H_
