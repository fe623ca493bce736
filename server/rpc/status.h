// The one place where errors become gRPC status.
#ifndef GRADWIRE_RPC_STATUS_H_
#define GRADWIRE_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <functional>
#include <optional>
#include <string>

#include "core/error.h"
#include "gradwire/v1/status.pb.h"

namespace gradwire::rpc {

// The status of an error, with a google.rpc.ErrorInfo in its details, and a google.rpc.RetryInfo
// where it passes by itself.
grpc::Status ToStatus(const Error& error);
// What the details of a status say; its reason, "" where there is none.
std::optional<v1::ErrorInfo> InfoOf(const grpc::Status& status);
std::string ReasonOf(const grpc::Status& status);
// As gRPC spells it: "NOT_FOUND".
const char* NameOf(grpc::StatusCode code);
// A serialized google.rpc.Status of an error.
std::string ToDetails(const Error& error);

// Calls f. What it throws becomes an Error: an Error itself, running out of memory OUT_OF_MEMORY,
// and anything else INTERNAL, logged with its text.
std::optional<Error> Catch(const std::function<void()>& f);
// The same, as a status; OK when f returns.
grpc::Status Guard(const std::function<void()>& f);

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_STATUS_H_
