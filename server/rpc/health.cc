#include "rpc/health.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <cstdint>

namespace gradwire::rpc {
namespace {

using google::protobuf::internal::WireFormatLite;

// HealthCheckResponse.ServingStatus.
enum class ServingStatus : uint8_t { kServing = 1, kNotServing = 2, kServiceUnknown = 3 };

// Field 1, a string, of a HealthCheckRequest; nothing for bytes that are none.
std::optional<std::string> ServiceIn(const grpc::ByteBuffer& request) {
  grpc::Slice slice;
  if (!request.DumpToSingleSlice(&slice).ok()) return std::nullopt;
  google::protobuf::io::CodedInputStream input(slice.begin(), static_cast<int>(slice.size()));
  constexpr uint32_t kService =
      WireFormatLite::MakeTag(1, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  std::string service;
  while (const uint32_t tag = input.ReadTag()) {
    const bool read = tag == kService ? WireFormatLite::ReadString(&input, &service)
                                      : WireFormatLite::SkipField(&input, tag);
    if (!read) return std::nullopt;
  }
  if (!input.ConsumedEntireMessage()) return std::nullopt;
  return service;
}

// A HealthCheckResponse: its field 1 is an enum.
grpc::ByteBuffer Response(ServingStatus status) {
  const char bytes[] = {WireFormatLite::MakeTag(1, WireFormatLite::WIRETYPE_VARINT),
                        static_cast<char>(status)};
  const grpc::Slice slice(bytes, sizeof(bytes));
  return {&slice, 1};
}

ServingStatus Of(bool serves) {
  return serves ? ServingStatus::kServing : ServingStatus::kNotServing;
}

const grpc::Status kMalformed(grpc::StatusCode::INVALID_ARGUMENT,
                              "the request is not a grpc.health.v1.HealthCheckRequest");

}  // namespace

class Health::CheckCall final : public Call {
 public:
  explicit CheckCall(Health& health) : health_(health) {}

 private:
  void OnCall(grpc::ByteBuffer& request) override {
    const std::optional<std::string> service = ServiceIn(request);
    if (!service.has_value()) return Finish(kMalformed);
    std::optional<bool> serves;
    {
      const std::lock_guard lock(health_.mutex_);
      serves = health_.Serves(*service);
    }
    if (!serves.has_value()) {
      return Finish({grpc::StatusCode::NOT_FOUND, "the server has no such service"});
    }
    FinishWith(Response(Of(*serves)));
  }

  Health& health_;
};

// Answers now, and again whenever the answer is another.
class Health::WatchCall final : public Call {
 public:
  explicit WatchCall(Health& health) : health_(health) {}

  // Locked: says how the service is, unless that is being said, or has been.
  void Tell() {
    const std::optional<bool> serves = health_.Serves(service_);
    const ServingStatus status = serves ? Of(*serves) : ServingStatus::kServiceUnknown;
    if (writing_ || told_ == status) return;
    told_ = status;
    writing_ = true;
    Write(Response(status));
  }

 private:
  void OnCall(grpc::ByteBuffer& request) override {
    std::optional<std::string> service = ServiceIn(request);
    if (!service.has_value()) return Finish(kMalformed);
    service_ = *std::move(service);
    const std::lock_guard lock(health_.mutex_);
    health_.watching_.insert(this);
    Tell();
  }
  void OnWritten(bool ok) override {
    const std::lock_guard lock(health_.mutex_);
    writing_ = false;
    ok && !cancelled() ? Tell() : End();
  }
  void OnCancelled() override {
    const std::lock_guard lock(health_.mutex_);
    if (!writing_) End();
  }

  // Locked.
  void End() {
    if (health_.watching_.erase(this) != 0) Finish(grpc::Status::CANCELLED);
  }

  Health& health_;
  std::string service_;
  std::optional<ServingStatus> told_;
  bool writing_ = false;
};

Health::Health() {
  const std::string service = "/grpc.health.v1.Health/";
  Add(service + "Check", false, false, [this] { return std::make_unique<CheckCall>(*this); });
  Add(service + "Watch", false, true, [this] { return std::make_unique<WatchCall>(*this); });
}

void Health::Set(const std::string& service, bool serves) {
  const std::lock_guard lock(mutex_);
  serves_[service] = serves;
  for (WatchCall* call : watching_) call->Tell();
}

void Health::SetAll(bool serves) {
  const std::lock_guard lock(mutex_);
  for (auto& [service, set] : serves_) set = serves;
  for (WatchCall* call : watching_) call->Tell();
}

std::optional<bool> Health::Serves(const std::string& service) const {
  const auto found = serves_.find(service);
  if (found == serves_.end()) return std::nullopt;
  return found->second;
}

}  // namespace gradwire::rpc
