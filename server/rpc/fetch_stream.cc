// FetchStream: chunks that refer to tensor memory.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "rpc/chunk.h"
#include "rpc/execute.h"
#include "rpc/service.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

constexpr int32_t kMinChunk = 64 << 10;
constexpr int32_t kDefaultChunk = 2 << 20;
constexpr int32_t kMaxChunk = 16 << 20;

class FetchStreamReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  FetchStreamReactor(SessionStore& store, grpc::CallbackServerContext* context,
                     const grpc::ByteBuffer* request)
      : context_(context) {
    const grpc::Status status = Guard([&] {
      FromBuffer(*request, request_);
      session_ = store.Find(request_.session_id());
      const int32_t asked = request_.chunk_bytes();
      if (asked != 0 && (asked < kMinChunk || asked > kMaxChunk)) {
        throw Error(reason::kInvalidArgument, fmt::format("chunk_bytes is {}, must be in [{}, {}]",
                                                          asked, kMinChunk, kMaxChunk));
      }
      chunk_bytes_ = static_cast<size_t>(asked == 0 ? kDefaultChunk : asked);
    });
    if (!status.ok()) {
      Finish(status);
      return;
    }
    session_->Post([this] { Start(); });
  }

  void OnWriteDone(bool ok) override {
    if (ok) {
      WriteNext();
    } else {
      Finish(grpc::Status::CANCELLED);
    }
  }

  void OnDone() override { delete this; }

 private:
  // On the strand: takes hold of the arrays. They are sent from gRPC's threads afterwards, while
  // later commands of the session may run: arrays do not change.
  void Start() {
    const grpc::Status status = Guard([&] {
      CommandScope scope(*session_, StopWithCall(*context_, *session_));
      const std::vector<NamedValue> values = scope.transaction.Fetch(Strings(request_.names()));
      scope.Commit();
      for (const auto& [name, value] : values) {
        tensors_.emplace_back(name, OnHost(value.tensor(), session_->stream()));
      }
    });
    if (!status.ok()) {
      Finish(status);
      return;
    }
    WriteNext();
  }

  void WriteNext() {
    session_->Renew();
    if (next_ == tensors_.size()) {
      Finish(grpc::Status::OK);
      return;
    }
    auto& [name, tensor] = tensors_[next_];
    v1::FetchChunk header;
    if (offset_ == 0) {
      header.set_name(name);
      EncodeSpec(tensor.spec(), header.mutable_spec());
    }
    header.set_offset(static_cast<int64_t>(offset_));
    const size_t size = std::min(chunk_bytes_, tensor.bytes() - offset_);
    message_ = MakeFetchChunk(header, tensor, {tensor.data<std::byte>() + offset_, size});
    offset_ += size;
    if (offset_ == tensor.bytes()) {
      tensor = Tensor();  // the message holds it until it is sent
      ++next_;
      offset_ = 0;
    }
    StartWrite(&message_);
  }

  grpc::CallbackServerContext* const context_;
  v1::FetchRequest request_;
  std::shared_ptr<Session> session_;
  size_t chunk_bytes_ = 0;
  std::vector<NamedTensor> tensors_;
  size_t next_ = 0;
  size_t offset_ = 0;
  grpc::ByteBuffer message_;
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* Service::FetchStream(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return new FetchStreamReactor(store_, context, request);
}

}  // namespace gradwire::rpc
