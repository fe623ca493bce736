// AttachMemory, and the commands on arrays in shared memory.

#include <fmt/format.h>

#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "rpc/commands.h"
#include "rpc/door.h"
#include "rpc/service.h"
#include "rpc/status.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

constexpr int64_t kMaxSegment = int64_t{1} << 40;
constexpr int64_t kPage = 4096;

// Whether a call came from this machine, by gRPC's name for its other end.
bool IsLocal(std::string_view peer) {
  for (const std::string_view start : {"unix:", "ipv4:127.", "ipv6:%5B::1%5D:", "ipv6:[::1]:"}) {
    if (peer.starts_with(start)) return true;
  }
  return false;
}

size_t SegmentBytes(const char* field, int64_t bytes) {
  if (bytes < 1 || bytes > kMaxSegment) {
    throw Error(reason::kInvalidArgument,
                fmt::format("{} is {}, must be in [1, {}]", field, bytes, kMaxSegment));
  }
  return static_cast<size_t>((bytes + kPage - 1) / kPage * kPage);
}

// The array's bytes are the caller's to change at any time: they are read once.
Tensor CopyFromInbox(CommandScope& scope, const v1::SharedArray& array) try {
  const TensorSpec spec = DecodeSpec(array.spec());
  const auto bytes = scope.session.shared_arrays().Inbox(static_cast<uint64_t>(array.offset()),
                                                         static_cast<uint64_t>(spec.bytes()));
  Tensor tensor = AllocateTensor(scope.session.stream(), spec);
  scope.session.stream().Upload(bytes.data(), *tensor.buffer(), bytes.size());
  return tensor;
} catch (Error& error) {
  error.Prefix(fmt::format("tensor '{}': ", array.name())).With("tensor", array.name());
  throw;
}

}  // namespace

grpc::ServerUnaryReactor* Service::AttachMemory(grpc::CallbackServerContext* context,
                                                const v1::AttachMemoryRequest* request,
                                                v1::AttachMemoryResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(Guard([&] {
    const std::shared_ptr<Session> session = access_.Find(*context, request->session_id());
    if (door_ == nullptr) {
      throw Error(reason::kInvalidArgument,
                  "this server shares no memory: it runs without --shared_memory");
    }
    if (!IsLocal(context->peer())) {
      throw Error(reason::kInvalidArgument,
                  fmt::format("memory is shared on one machine only, the call comes from '{}'",
                              context->peer()));
    }
    const auto arrays = session->AttachMemory(SegmentBytes("tensor_bytes", request->tensor_bytes()),
                                              SegmentBytes("inbox_bytes", request->inbox_bytes()));
    response->set_socket(door_->path());
    response->set_ticket(door_->Admit(arrays));
    response->set_tensor_bytes(static_cast<int64_t>(arrays->tensors().bytes()));
    response->set_inbox_bytes(static_cast<int64_t>(arrays->inbox().bytes()));
  }));
  return reactor;
}

void PutShared(CommandScope& scope, const v1::PutSharedRequest& request,
               v1::PutSharedResponse* response) {
  std::vector<NamedTensor> tensors;
  for (const v1::SharedArray& array : request.arrays()) {
    tensors.emplace_back(array.name(), CopyFromInbox(scope, array));
  }
  for (const TensorInfo& info :
       scope.transaction.Put(std::move(tensors), request.requires_grad())) {
    EncodeInfo(info, response->add_tensors());
  }
}

void FetchShared(CommandScope& scope, const v1::FetchSharedRequest& request,
                 v1::FetchSharedResponse* response) {
  SharedArrays& shared = scope.session.shared_arrays();
  for (const uint64_t number : request.release()) shared.CheckHeld(number);
  CheckQuota("arrays held in shared memory", scope.session.options().max_tensors, shared.held(),
             request.names_size());
  std::vector<NamedValue> values;
  for (const auto& [name, item] : scope.transaction.Fetch(Strings(request.names()))) {
    values.emplace_back(name, TensorOf(name, item));
  }
  scope.after_commit.emplace_back([&shared, &request, response, values = std::move(values)] {
    for (const uint64_t number : request.release()) shared.Release(number);
    for (const auto& [name, value] : values) {
      v1::FetchSharedResponse::Found* found = response->add_found();
      found->mutable_array()->set_name(name);
      EncodeSpec(value.tensor().spec(), found->mutable_array()->mutable_spec());
      if (const auto offset = shared.OffsetOf(value.tensor())) {
        found->mutable_array()->set_offset(static_cast<int64_t>(*offset));
        found->set_held(shared.Hold(value.tensor()));
      }
    }
  });
}

}  // namespace gradwire::rpc
