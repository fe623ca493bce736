// What a failed call throws: one exception type for each reason of status.proto.
#ifndef GRADWIRE_CLIENT_ERROR_H_
#define GRADWIRE_CLIENT_ERROR_H_

#include <grpcpp/support/status.h>

#include <chrono>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>

namespace gradwire::client {

// The reasons of status.proto. kNone: gRPC itself failed (the server could not be reached, say), or
// the server is newer than this list; `Error::reason_name` then says more.
enum class Reason {
  kNone,
  kSessionNotFound,
  kSessionExpired,
  kTensorNotFound,
  kProgramNotFound,
  kInvalidArgument,
  kShapeMismatch,
  kDtypeMismatch,
  kInvalidModel,
  kOpUnsupported,
  kDeviceNotFound,
  kNotDifferentiable,
  kNoGraph,
  kNonFinite,
  kGraphFreed,
  kSequenceReused,
  kDependencyFailed,
  kUnauthenticated,
  kQuotaExceeded,
  kOutOfMemory,
  kCancelled,
  kDeadlineExceeded,
  kShuttingDown,
  kInternal,
};

using Metadata = std::map<std::string, std::string>;

// Any failed call. `what()` is the server's text: which command, node, op and tensor, what came and
// what was expected. Catch this type for all failures, an alias below for one reason.
class Error : public std::runtime_error {
 public:
  Error(grpc::StatusCode code, Reason reason, std::string reason_name, const std::string& message,
        Metadata metadata, std::optional<std::chrono::milliseconds> retry_after = {});

  grpc::StatusCode code() const { return code_; }
  Reason reason() const { return reason_; }
  // As status.proto spells it: "SHAPE_MISMATCH"; "" where gRPC itself failed.
  const std::string& reason_name() const { return reason_name_; }
  // The details, each key where it applies: command, node, node_name, op, tensor, program, limit,
  // used, requested.
  const Metadata& metadata() const { return metadata_; }
  // After which time the server thinks another attempt worth while.
  std::optional<std::chrono::milliseconds> retry_after() const { return retry_after_; }

 private:
  grpc::StatusCode code_;
  Reason reason_;
  std::string reason_name_;
  Metadata metadata_;
  std::optional<std::chrono::milliseconds> retry_after_;
};

// An Error of one reason.
template <Reason kReason>
class ErrorOf final : public Error {
 public:
  using Error::Error;
};

using SessionNotFound = ErrorOf<Reason::kSessionNotFound>;
using SessionExpired = ErrorOf<Reason::kSessionExpired>;
using TensorNotFound = ErrorOf<Reason::kTensorNotFound>;
using ProgramNotFound = ErrorOf<Reason::kProgramNotFound>;
using InvalidArgument = ErrorOf<Reason::kInvalidArgument>;
using ShapeMismatch = ErrorOf<Reason::kShapeMismatch>;
using DtypeMismatch = ErrorOf<Reason::kDtypeMismatch>;
using InvalidModel = ErrorOf<Reason::kInvalidModel>;
using OpUnsupported = ErrorOf<Reason::kOpUnsupported>;
using DeviceNotFound = ErrorOf<Reason::kDeviceNotFound>;
using NotDifferentiable = ErrorOf<Reason::kNotDifferentiable>;
using NoGraph = ErrorOf<Reason::kNoGraph>;
using NonFinite = ErrorOf<Reason::kNonFinite>;
using GraphFreed = ErrorOf<Reason::kGraphFreed>;
using SequenceReused = ErrorOf<Reason::kSequenceReused>;
using DependencyFailed = ErrorOf<Reason::kDependencyFailed>;
using Unauthenticated = ErrorOf<Reason::kUnauthenticated>;
using QuotaExceeded = ErrorOf<Reason::kQuotaExceeded>;
using OutOfMemory = ErrorOf<Reason::kOutOfMemory>;
using Cancelled = ErrorOf<Reason::kCancelled>;
using DeadlineExceeded = ErrorOf<Reason::kDeadlineExceeded>;
using ShuttingDown = ErrorOf<Reason::kShuttingDown>;
using InternalError = ErrorOf<Reason::kInternal>;

// Throws the Error, of the type of its reason, for a status that is not OK.
[[noreturn]] void Throw(const grpc::Status& status);
// The same for a serialized google.rpc.Status, as Pipeline's answers carry it.
[[noreturn]] void ThrowSerialized(const std::string& status);
// The same for what the client itself finds. REQUIRES: reason is not kNone.
[[noreturn]] void Throw(Reason reason, const std::string& message, Metadata metadata = {});

}  // namespace gradwire::client

#endif  // GRADWIRE_CLIENT_ERROR_H_
