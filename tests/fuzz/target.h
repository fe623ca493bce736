// Fuzz targets: functions of bytes that must come back, whatever the bytes are. A defect is what
// ends the process: a sanitizer's report, a failed Expect, a timeout.
#ifndef GRADWIRE_TESTS_FUZZ_TARGET_H_
#define GRADWIRE_TESTS_FUZZ_TARGET_H_

#include <grpcpp/support/status.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace gradwire::fuzz {

using Target = std::function<void(std::string_view bytes)>;

// All targets by name; each file of targets adds its own.
std::map<std::string, Target>& Targets();
bool AddTarget(const std::string& name, Target target);

// Ends the process, saying what is wrong, unless `holds`.
void Expect(bool holds, const std::string& what);

// Calls f as a handler of the server does. Ends the process where the server would answer INTERNAL:
// an exception that nobody foresaw.
grpc::Status Handle(const std::function<void()>& f);

}  // namespace gradwire::fuzz

#endif  // GRADWIRE_TESTS_FUZZ_TARGET_H_
