#include "rpc/status.h"

#include <spdlog/spdlog.h>

#include <new>
#include <optional>

#include "core/utf8.h"
#include "gradwire/v1/status.pb.h"

namespace gradwire::rpc {

std::string ToDetails(const Error& error) {
  v1::ErrorInfo info;
  info.set_reason(std::string(error.reason().name));
  info.set_domain("gradwire");
  for (const auto& [key, value] : error.metadata()) {
    (*info.mutable_metadata())[key] = ToUtf8(value);
  }
  v1::RpcStatus status;
  status.set_code(static_cast<int>(error.code()));
  status.set_message(ToUtf8(error.message()));
  google::protobuf::Any& detail = *status.add_details();
  detail.set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  detail.set_value(info.SerializeAsString());
  return status.SerializeAsString();
}

grpc::Status ToStatus(const Error& error) {
  return {static_cast<grpc::StatusCode>(error.code()), ToUtf8(error.message()), ToDetails(error)};
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
