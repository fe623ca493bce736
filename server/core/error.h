// The one error type. Codes are gRPC's, so that rpc/ converts without a table; reasons are the
// stable words of proto/gradwire/v1/status.proto.
#ifndef GRADWIRE_CORE_ERROR_H_
#define GRADWIRE_CORE_ERROR_H_

#include <exception>
#include <map>
#include <string>
#include <string_view>

namespace gradwire {

// Numbers equal grpc::StatusCode.
enum class Code {
  kCancelled = 1,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
};

struct Reason {
  std::string_view name;
  Code code;
};

namespace reason {
inline constexpr Reason kSessionNotFound{"SESSION_NOT_FOUND", Code::kNotFound};
inline constexpr Reason kSessionExpired{"SESSION_EXPIRED", Code::kNotFound};
inline constexpr Reason kTensorNotFound{"TENSOR_NOT_FOUND", Code::kNotFound};
inline constexpr Reason kProgramNotFound{"PROGRAM_NOT_FOUND", Code::kNotFound};
inline constexpr Reason kInvalidArgument{"INVALID_ARGUMENT", Code::kInvalidArgument};
inline constexpr Reason kShapeMismatch{"SHAPE_MISMATCH", Code::kInvalidArgument};
inline constexpr Reason kDtypeMismatch{"DTYPE_MISMATCH", Code::kInvalidArgument};
inline constexpr Reason kInvalidModel{"INVALID_MODEL", Code::kInvalidArgument};
inline constexpr Reason kOpUnsupported{"OP_UNSUPPORTED", Code::kUnimplemented};
inline constexpr Reason kDeviceNotFound{"DEVICE_NOT_FOUND", Code::kInvalidArgument};
inline constexpr Reason kNotDifferentiable{"NOT_DIFFERENTIABLE", Code::kFailedPrecondition};
inline constexpr Reason kNoGraph{"NO_GRAPH", Code::kFailedPrecondition};
inline constexpr Reason kNonFinite{"NON_FINITE", Code::kFailedPrecondition};
inline constexpr Reason kGraphFreed{"GRAPH_FREED", Code::kFailedPrecondition};
inline constexpr Reason kSequenceReused{"SEQUENCE_REUSED", Code::kAlreadyExists};
inline constexpr Reason kDependencyFailed{"DEPENDENCY_FAILED", Code::kFailedPrecondition};
inline constexpr Reason kQuotaExceeded{"QUOTA_EXCEEDED", Code::kResourceExhausted};
inline constexpr Reason kOutOfMemory{"OUT_OF_MEMORY", Code::kResourceExhausted};
inline constexpr Reason kDeviceFailed{"DEVICE_FAILED", Code::kUnavailable};
inline constexpr Reason kCancelled{"CANCELLED", Code::kCancelled};
inline constexpr Reason kDeadlineExceeded{"DEADLINE_EXCEEDED", Code::kDeadlineExceeded};
inline constexpr Reason kShuttingDown{"SHUTTING_DOWN", Code::kUnavailable};
inline constexpr Reason kInternal{"INTERNAL", Code::kInternal};
}  // namespace reason

// What went wrong, what came, what was expected. Thrown anywhere below rpc/, caught there.
class Error : public std::exception {
 public:
  Error(Reason reason, std::string message) : reason_(reason), message_(std::move(message)) {}

  Reason reason() const { return reason_; }
  Code code() const { return reason_.code; }
  const std::string& message() const { return message_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const char* what() const noexcept override { return message_.c_str(); }

  // Adds a detail for programs; the innermost value of a key wins.
  Error& With(const std::string& key, std::string value) {
    metadata_.emplace(key, std::move(value));
    return *this;
  }
  // Says where it happened, outermost first: "node 3 'fc1' (Gemm): " + what it said so far.
  Error& Prefix(std::string_view context) {
    message_.insert(0, context);
    return *this;
  }

 private:
  Reason reason_;
  std::string message_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace gradwire

#endif  // GRADWIRE_CORE_ERROR_H_
