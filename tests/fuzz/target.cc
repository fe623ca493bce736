#include "tests/fuzz/target.h"

#include <google/protobuf/stubs/logging.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "rpc/status.h"

namespace gradwire::fuzz {

std::map<std::string, Target>& Targets() {
  static std::map<std::string, Target> targets;
  return targets;
}

// What cannot be parsed is no news here.
const bool silent = google::protobuf::SetLogHandler(nullptr) != nullptr;

bool AddTarget(const std::string& name, Target target) {
  return Targets().emplace(name, std::move(target)).second;
}

void Expect(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "DEFECT: %s\n", what.c_str());
  std::abort();
}

grpc::Status Handle(const std::function<void()>& f) {
  grpc::Status status = rpc::Guard(f);
  Expect(status.error_code() != grpc::StatusCode::INTERNAL, status.error_message());
  return status;
}

}  // namespace gradwire::fuzz
