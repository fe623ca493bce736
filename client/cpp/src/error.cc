#include "gradwire/client/error.h"

#include <array>
#include <string_view>
#include <utility>

#include "gradwire/v1/status.pb.h"

namespace gradwire::client {
namespace {

using RetryAfter = std::optional<std::chrono::milliseconds>;

template <Reason kReason>
[[noreturn]] void ThrowOne(grpc::StatusCode code, const std::string& name,
                           const std::string& message, const Metadata& metadata,
                           RetryAfter retry_after) {
  throw ErrorOf<kReason>(code, kReason, name, message, metadata, retry_after);
}

struct Row {
  std::string_view name;
  Reason reason;
  grpc::StatusCode code;
  decltype(&ThrowOne<Reason::kInternal>) raise;
};

template <Reason kReason>
constexpr Row RowOf(std::string_view name, grpc::StatusCode code) {
  return {name, kReason, code, &ThrowOne<kReason>};
}

// The table of status.proto.
constexpr std::array kRows = {
    RowOf<Reason::kSessionNotFound>("SESSION_NOT_FOUND", grpc::NOT_FOUND),
    RowOf<Reason::kSessionExpired>("SESSION_EXPIRED", grpc::NOT_FOUND),
    RowOf<Reason::kTensorNotFound>("TENSOR_NOT_FOUND", grpc::NOT_FOUND),
    RowOf<Reason::kProgramNotFound>("PROGRAM_NOT_FOUND", grpc::NOT_FOUND),
    RowOf<Reason::kInvalidArgument>("INVALID_ARGUMENT", grpc::INVALID_ARGUMENT),
    RowOf<Reason::kShapeMismatch>("SHAPE_MISMATCH", grpc::INVALID_ARGUMENT),
    RowOf<Reason::kDtypeMismatch>("DTYPE_MISMATCH", grpc::INVALID_ARGUMENT),
    RowOf<Reason::kInvalidModel>("INVALID_MODEL", grpc::INVALID_ARGUMENT),
    RowOf<Reason::kOpUnsupported>("OP_UNSUPPORTED", grpc::UNIMPLEMENTED),
    RowOf<Reason::kDeviceNotFound>("DEVICE_NOT_FOUND", grpc::INVALID_ARGUMENT),
    RowOf<Reason::kNotDifferentiable>("NOT_DIFFERENTIABLE", grpc::FAILED_PRECONDITION),
    RowOf<Reason::kNoGraph>("NO_GRAPH", grpc::FAILED_PRECONDITION),
    RowOf<Reason::kNonFinite>("NON_FINITE", grpc::FAILED_PRECONDITION),
    RowOf<Reason::kGraphFreed>("GRAPH_FREED", grpc::FAILED_PRECONDITION),
    RowOf<Reason::kSequenceReused>("SEQUENCE_REUSED", grpc::ALREADY_EXISTS),
    RowOf<Reason::kDependencyFailed>("DEPENDENCY_FAILED", grpc::FAILED_PRECONDITION),
    RowOf<Reason::kUnauthenticated>("UNAUTHENTICATED", grpc::UNAUTHENTICATED),
    RowOf<Reason::kQuotaExceeded>("QUOTA_EXCEEDED", grpc::RESOURCE_EXHAUSTED),
    RowOf<Reason::kOutOfMemory>("OUT_OF_MEMORY", grpc::RESOURCE_EXHAUSTED),
    RowOf<Reason::kCancelled>("CANCELLED", grpc::CANCELLED),
    RowOf<Reason::kDeadlineExceeded>("DEADLINE_EXCEEDED", grpc::DEADLINE_EXCEEDED),
    RowOf<Reason::kShuttingDown>("SHUTTING_DOWN", grpc::UNAVAILABLE),
    RowOf<Reason::kInternal>("INTERNAL", grpc::INTERNAL),
};

// Failures that gRPC itself reports, and whose code says which reason is meant.
std::string_view ReasonOf(grpc::StatusCode code) {
  if (code == grpc::CANCELLED) return "CANCELLED";
  if (code == grpc::DEADLINE_EXCEEDED) return "DEADLINE_EXCEEDED";
  return "";
}

[[noreturn]] void Raise(grpc::StatusCode code, std::string name, const std::string& message,
                        Metadata metadata, RetryAfter retry_after) {
  if (name.empty()) name = ReasonOf(code);
  for (const Row& row : kRows) {
    if (row.name == name) row.raise(code, name, message, metadata, retry_after);
  }
  throw Error(code, Reason::kNone, std::move(name), message, std::move(metadata), retry_after);
}

}  // namespace

Error::Error(grpc::StatusCode code, Reason reason, std::string reason_name,
             const std::string& message, Metadata metadata,
             std::optional<std::chrono::milliseconds> retry_after)
    : std::runtime_error(message),
      code_(code),
      reason_(reason),
      reason_name_(std::move(reason_name)),
      metadata_(std::move(metadata)),
      retry_after_(retry_after) {}

void ThrowSerialized(const std::string& status) {
  v1::RpcStatus parsed;
  v1::ErrorInfo info;
  v1::RetryInfo retry;
  RetryAfter retry_after;
  if (parsed.ParseFromString(status)) {
    for (const google::protobuf::Any& detail : parsed.details()) {
      if (detail.type_url().ends_with("/google.rpc.ErrorInfo")) {
        info.ParseFromString(detail.value());
      } else if (detail.type_url().ends_with("/google.rpc.RetryInfo") &&
                 retry.ParseFromString(detail.value())) {
        retry_after = std::chrono::milliseconds(retry.retry_delay().seconds() * 1000 +
                                                retry.retry_delay().nanos() / 1'000'000);
      }
    }
  }
  Raise(static_cast<grpc::StatusCode>(parsed.code()), info.reason(), parsed.message(),
        {info.metadata().begin(), info.metadata().end()}, retry_after);
}

void Throw(const grpc::Status& status) {
  if (!status.error_details().empty()) ThrowSerialized(status.error_details());
  Raise(status.error_code(), "", status.error_message(), {}, {});
}

void Throw(Reason reason, const std::string& message, Metadata metadata) {
  for (const Row& row : kRows) {
    if (row.reason == reason) {
      row.raise(row.code, std::string(row.name), message, metadata, {});
    }
  }
  throw Error(grpc::UNKNOWN, reason, "", message, std::move(metadata));
}

}  // namespace gradwire::client
