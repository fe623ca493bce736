// FetchStream: chunks that refer to tensor memory.

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "backend/on_host.h"
#include "core/strings.h"
#include "rpc/chunk.h"
#include "rpc/service.h"
#include "rpc/stream.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

constexpr int32_t kMinChunk = 64 << 10;
constexpr int32_t kDefaultChunk = 2 << 20;
constexpr int32_t kMaxChunk = 16 << 20;

class FetchStreamReactor final : public Download<grpc::ByteBuffer> {
 public:
  FetchStreamReactor(const Access& access, grpc::CallbackServerContext* context,
                     const grpc::ByteBuffer* request)
      : Download(access, context) {
    Open([&] {
      FromBuffer(*request, request_);
      const int32_t asked = request_.chunk_bytes();
      if (asked != 0 && (asked < kMinChunk || asked > kMaxChunk)) {
        throw Error(reason::kInvalidArgument, fmt::format("chunk_bytes is {}, must be in [{}, {}]",
                                                          asked, kMinChunk, kMaxChunk));
      }
      chunk_bytes_ = static_cast<size_t>(asked == 0 ? kDefaultChunk : asked);
      return request_.session_id();
    });
  }

 private:
  void Collect(CommandScope& scope) override {
    for (const auto& [name, item] : scope.transaction.Fetch(Strings(request_.names()))) {
      const Value& value = TensorOf(name, item);
      RequireBytes(value.spec(), "FetchStream");
      tensors_.emplace_back(name, OnHost(value.tensor(), scope.session.stream()));
    }
  }

  bool Next(grpc::ByteBuffer& message) override {
    if (next_ == tensors_.size()) return false;
    auto& [name, tensor] = tensors_[next_];
    v1::FetchChunk header;
    if (offset_ == 0) {
      header.set_name(name);
      EncodeSpec(tensor.spec(), header.mutable_spec());
    }
    header.set_offset(static_cast<int64_t>(offset_));
    const size_t size = std::min(chunk_bytes_, tensor.bytes() - offset_);
    message = MakeFetchChunk(header, tensor, {tensor.data<std::byte>() + offset_, size});
    offset_ += size;
    if (offset_ == tensor.bytes()) {
      tensor = Tensor();  // the message holds it until it is sent
      ++next_;
      offset_ = 0;
    }
    return true;
  }

  v1::FetchRequest request_;
  size_t chunk_bytes_ = 0;
  std::vector<NamedTensor> tensors_;
  size_t next_ = 0;
  size_t offset_ = 0;
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* Service::FetchStream(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return new FetchStreamReactor(access_, context, request);
}

}  // namespace gradwire::rpc
