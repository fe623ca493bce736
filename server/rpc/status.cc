#include "rpc/status.h"

#include <spdlog/spdlog.h>

#include <array>
#include <new>
#include <optional>

#include "core/utf8.h"

namespace gradwire::rpc {
namespace {

// A status travels as HTTP/2 metadata, and gRPC's peers drop a call whose metadata passes 8 KiB:
// a text of client's making (a long shape, a name) is shortened in its middle.
constexpr size_t kMaxMessage = 1024;
constexpr size_t kMaxMetadata = 256;
// By then a balancer has learnt that this server is stopping.
constexpr int kRetrySeconds = 1;

std::string ToText(std::string_view text, size_t most) {
  constexpr std::string_view kGap = " ... ";
  if (text.size() <= most) return ToUtf8(text);
  const size_t half = (most - kGap.size()) / 2;
  return ToUtf8(text.substr(0, half)).append(kGap) + ToUtf8(text.substr(text.size() - half));
}

void AddDetail(const char* type, const google::protobuf::Message& message, v1::RpcStatus& status) {
  google::protobuf::Any& detail = *status.add_details();
  detail.set_type_url(std::string("type.googleapis.com/") + type);
  detail.set_value(message.SerializeAsString());
}

}  // namespace

std::string ToDetails(const Error& error) {
  v1::ErrorInfo info;
  info.set_reason(std::string(error.reason().name));
  info.set_domain("gradwire");
  for (const auto& [key, value] : error.metadata()) {
    (*info.mutable_metadata())[key] = ToText(value, kMaxMetadata);
  }
  v1::RpcStatus status;
  status.set_code(static_cast<int>(error.code()));
  status.set_message(ToText(error.message(), kMaxMessage));
  AddDetail("google.rpc.ErrorInfo", info, status);
  if (error.reason().name == reason::kShuttingDown.name) {
    v1::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(kRetrySeconds);
    AddDetail("google.rpc.RetryInfo", retry, status);
  }
  return status.SerializeAsString();
}

grpc::Status ToStatus(const Error& error) {
  return {static_cast<grpc::StatusCode>(error.code()), ToText(error.message(), kMaxMessage),
          ToDetails(error)};
}

std::optional<v1::ErrorInfo> InfoOf(const grpc::Status& status) {
  v1::RpcStatus details;
  v1::ErrorInfo info;
  const bool has_info = details.ParseFromString(status.error_details()) &&
                        details.details_size() > 0 &&
                        info.ParseFromString(details.details(0).value());
  if (!has_info) return std::nullopt;
  return info;
}

std::string ReasonOf(const grpc::Status& status) {
  const std::optional<v1::ErrorInfo> info = InfoOf(status);
  return info.has_value() ? info->reason() : "";
}

const char* NameOf(grpc::StatusCode code) {
  constexpr std::array<const char*, 17> kNames = {"OK",
                                                  "CANCELLED",
                                                  "UNKNOWN",
                                                  "INVALID_ARGUMENT",
                                                  "DEADLINE_EXCEEDED",
                                                  "NOT_FOUND",
                                                  "ALREADY_EXISTS",
                                                  "PERMISSION_DENIED",
                                                  "RESOURCE_EXHAUSTED",
                                                  "FAILED_PRECONDITION",
                                                  "ABORTED",
                                                  "OUT_OF_RANGE",
                                                  "UNIMPLEMENTED",
                                                  "INTERNAL",
                                                  "UNAVAILABLE",
                                                  "DATA_LOSS",
                                                  "UNAUTHENTICATED"};
  const auto index = static_cast<size_t>(code);
  return index < kNames.size() ? kNames[index] : "UNKNOWN";
}

std::optional<Error> Catch(const std::function<void()>& f) {
  try {
    f();
    return std::nullopt;
  } catch (const Error& error) {
    if (error.code() == Code::kInternal) spdlog::error("{}", error.message());
    return error;
  } catch (const std::bad_alloc&) {
    return Error(reason::kOutOfMemory, "out of memory");
  } catch (const std::exception& exception) {
    spdlog::error("unexpected exception: {}", exception.what());
    return Error(reason::kInternal, "internal error; the server's log says more");
  }
}

grpc::Status Guard(const std::function<void()>& f) {
  const std::optional<Error> error = Catch(f);
  return error.has_value() ? ToStatus(*error) : grpc::Status::OK;
}

}  // namespace gradwire::rpc
