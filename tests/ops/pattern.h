// Small integers that are easy to make elsewhere: element i is (7 i mod 11) - 5. In NumPy:
//   ((np.arange(n) * 7) % 11 - 5).astype(np.float64).reshape(dims)
#ifndef GRADWIRE_TESTS_OPS_PATTERN_H_
#define GRADWIRE_TESTS_OPS_PATTERN_H_

#include <utility>
#include <vector>

#include "tests/ops/op_case.h"

namespace gradwire::testing {

inline Input Pattern(Dims dims) {
  std::vector<double> elements(static_cast<size_t>(NumElements(dims)));
  for (size_t i = 0; i < elements.size(); ++i) elements[i] = double(i * 7 % 11) - 5;
  return Elements(std::move(dims), std::move(elements));
}

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_OPS_PATTERN_H_
