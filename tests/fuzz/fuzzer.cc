// What libFuzzer calls; the environment's GRADWIRE_FUZZ_TARGET says which target is meant.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "tests/fuzz/target.h"

namespace {

const gradwire::fuzz::Target& Wanted() {
  const char* const name = std::getenv("GRADWIRE_FUZZ_TARGET");
  const auto found = gradwire::fuzz::Targets().find(name != nullptr ? name : "");
  gradwire::fuzz::Expect(found != gradwire::fuzz::Targets().end(),
                         "GRADWIRE_FUZZ_TARGET names no target");
  return found->second;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const gradwire::fuzz::Target& target = Wanted();
  target({reinterpret_cast<const char*>(data), size});
  return 0;
}
