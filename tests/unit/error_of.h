#ifndef GRADWIRE_TESTS_UNIT_ERROR_OF_H_
#define GRADWIRE_TESTS_UNIT_ERROR_OF_H_

#include <functional>
#include <string>

#include "core/error.h"

namespace gradwire::testing {

// "SHAPE_MISMATCH: ..." of the Error that f throws; "no error" when it throws none.

inline std::string ErrorOf(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return std::string(error.reason().name) + ": " + error.message();
  }
  return "no error";
}

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_UNIT_ERROR_OF_H_
