// The calls about the server and the lives of sessions.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/strings.h"
#include "graph/op.h"
#include "rpc/commands.h"
#include "rpc/service.h"

namespace gradwire::rpc {
namespace {

using std::chrono::milliseconds;

void EncodeDuration(milliseconds duration, google::protobuf::Duration* proto) {
  proto->set_seconds(duration.count() / 1000);
  proto->set_nanos(static_cast<int32_t>(duration.count() % 1000 * 1000000));
}

// Out of the range of milliseconds: the longest there is, which no limit allows.
milliseconds DecodeDuration(const google::protobuf::Duration& proto) {
  constexpr int64_t kMaxSeconds = milliseconds::max().count() / 1000 - 1;
  const int64_t seconds = std::clamp(proto.seconds(), -kMaxSeconds, kMaxSeconds);
  return milliseconds(seconds * 1000 + proto.nanos() / 1000000);
}

void EncodeLimits(const SessionLimits& limits, const std::string& tenant, v1::Limits* proto) {
  proto->set_max_session_bytes(limits.max_session_bytes);
  proto->set_max_sessions(limits.max_sessions);
  EncodeDuration(limits.default_lease, proto->mutable_default_lease());
  EncodeDuration(limits.max_lease, proto->mutable_max_lease());
  proto->set_max_session_tensors(limits.max_tensors);
  proto->set_max_session_programs(limits.max_programs);
  proto->set_max_session_queued(limits.max_queued);
  proto->set_max_server_bytes(limits.max_bytes);
  proto->set_max_tenant_bytes(limits.Of(tenant).max_bytes);
  proto->set_max_tenant_sessions(limits.Of(tenant).max_sessions);
}

void EncodeDevice(const Backend& backend, v1::DeviceInfo* proto) {
  const DeviceDescription description = backend.Describe();
  const MemoryStats memory = backend.memory();
  proto->set_name(backend.device().name());
  proto->set_description(description.description);
  proto->set_library(description.library);
  proto->set_threads(description.threads);
  proto->set_live_bytes(memory.live_bytes);
  proto->set_cached_bytes(memory.cached_bytes);
  proto->set_system_allocations(memory.system_allocations);
  proto->set_memory_bytes(description.memory_bytes);
  proto->set_capability(description.capability);
  proto->set_problem(backend.problem());
}

// The element types of the first input: 16-bit floats are accepted wherever float32 is, see Apply.
DTypeSet Accepted(const OpDef& op, DeviceType device) {
  const DTypeSet types = HasStrings(device) ? op.types : op.types.Without(DType::kString);
  return types.Contains(DType::kFloat32) ? types | kHalves : types;
}

// The element types that have gradients: not complex ones, which cannot be added. Where the first
// input is a mask, an index or a quantized number, they are other inputs'.
DTypeSet Differentiated(const OpDef& op, DeviceType device) {
  if (!HasGradient(op)) return {};
  const DTypeSet types = Accepted(op, device) & (kFloats | kHalves);
  return types.empty() ? kFloats | kHalves : types;
}

void AddCodes(DTypeSet types, google::protobuf::RepeatedField<int32_t>* codes) {
  for (int code = 1; code < kDTypeCount; ++code) {
    if (types.Contains(static_cast<DType>(code))) codes->Add(code);
  }
}

// The element types that the device leaves to the host.
DTypeSet OnHostTypes(const OpDef& op, DeviceType device) {
  if (device == DeviceType::kCpu || op.alias || !IsNodeOn(op, device)) return {};
  const DTypeSet types = Accepted(op, device);
  return KernelOn(op, device) == nullptr ? types : types.Without(TypesOn(device));
}

void EncodeOperator(const OpDef& op, const Backend& backend, v1::OperatorSupport* proto) {
  proto->set_domain(std::string(op.domain));
  proto->set_op_type(std::string(op.name));
  proto->set_since_version(op.since);
  proto->set_device(backend.device().name());
  const DeviceType device = backend.device().type;
  AddCodes(Accepted(op, device), proto->mutable_data_types());
  // VJPs are formulas of operators with VJPs, so an operator with one has all orders.
  proto->set_backward(HasGradient(op));
  proto->set_second_order(HasGradient(op));
  AddCodes(Differentiated(op, device), proto->mutable_backward_types());
  AddCodes(Differentiated(op, device), proto->mutable_second_order_types());
  AddCodes(OnHostTypes(op, device), proto->mutable_host_types());
}

bool RunsOn(const OpDef& op, Device device) {
  return !Accepted(op, device.type).empty() &&
         (op.decompose != nullptr || op.structured != nullptr || IsNodeOn(op, device.type));
}

}  // namespace

void Service::GetServerInfo(const Call& call, const v1::GetServerInfoRequest&,
                            v1::GetServerInfoResponse* response) {
  const std::string tenant = access_.TenantOf(call.context());
  response->set_version(GRADWIRE_VERSION);
  const SessionStore& store = access_.store();
  EncodeLimits(store.limits(), tenant, response->mutable_limits());
  const int64_t agreed = store.limits().Of(tenant).max_message_bytes;
  response->mutable_limits()->set_max_message_bytes(
      agreed > 0 ? std::min(agreed, max_message_bytes_) : max_message_bytes_);
  response->set_max_ir_version(kMaxIrVersion);
  response->set_max_opset_version(kMaxOpset);
  response->set_missing_devices(store.missing_devices());
  for (const auto& backend : store.backends()) {
    EncodeDevice(*backend, response->add_devices());
    for (const OpDef* op : Registry::Global().All()) {
      if (RunsOn(*op, backend->device())) EncodeOperator(*op, *backend, response->add_operators());
    }
  }
}

void Service::OpenSession(const Call& call, const v1::OpenSessionRequest& request,
                          v1::OpenSessionResponse* response) {
  OpenRequest open{request.device(), DecodeDuration(request.lease()), request.max_bytes(),
                   std::nullopt, request.session_id()};
  if (request.has_seed()) open.seed = request.seed();
  open.math_mode = {.tf32 = request.allow_tf32(),
                    .half_sums = request.allow_half_sums(),
                    .nondeterministic = request.allow_nondeterministic()};
  const std::shared_ptr<Session> session = access_.Open(call.context(), open);
  response->set_session_id(session->id());
  EncodeDuration(session->lease(), response->mutable_lease());
}

void Service::KeepAlive(const Call& call, const v1::KeepAliveRequest& request,
                        v1::KeepAliveResponse* response) {
  EncodeDuration(access_.Find(call.context(), request.session_id())->lease(),
                 response->mutable_lease());
}

void Service::MoveSession(CommandScope& scope, const v1::MoveSessionRequest& request,
                          v1::MoveSessionResponse* response) const {
  Backend& to = access_.store().FindBackend(request.device());
  scope.transaction.MoveSession(to);
  response->set_device(to.device().name());
}

void Service::CloseSession(const Call& call, const v1::CloseSessionRequest& request,
                           v1::CloseSessionResponse*) {
  access_.Close(call.context(), request.session_id());
}

}  // namespace gradwire::rpc
