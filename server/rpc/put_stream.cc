// PutStream: chunks straight into tensor memory, then one Put.

#include <fmt/format.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "rpc/chunk.h"
#include "rpc/execute.h"
#include "rpc/service.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

// A tensor that is being received.
struct Incoming {
  std::string name;
  bool requires_grad = false;
  Tensor tensor;
  size_t received = 0;
};

class PutStreamReactor final : public grpc::ServerReadReactor<grpc::ByteBuffer> {
 public:
  PutStreamReactor(SessionStore& store, grpc::CallbackServerContext* context,
                   grpc::ByteBuffer* response)
      : store_(store), context_(context), response_(response) {
    StartRead(&message_);
  }

  void OnReadDone(bool ok) override {
    const grpc::Status status = Guard([&] { ok ? Receive() : CheckWhole(); });
    if (!status.ok()) {
      Finish(status);
    } else if (ok) {
      StartRead(&message_);
    } else {
      Bind();
    }
  }

  void OnDone() override { delete this; }

 private:
  void Receive() {
    v1::PutChunk header;
    ReadPutChunk(message_, header, [&](size_t size) { return Destination(header, size); });
    message_.Clear();
  }

  // Where the next `size` bytes go, after the header has been looked at.
  std::byte* Destination(const v1::PutChunk& header, size_t size) {
    if (session_ == nullptr) {
      session_ = store_.Find(header.session_id());
      sequence_ = header.sequence();
    } else {
      store_.Find(session_->id());  // renews the lease, or says that the session has ended
    }
    if (!header.name().empty()) Begin(header);
    if (tensors_.empty()) throw Error(reason::kInvalidArgument, "the first chunk has no name");
    Incoming& last = tensors_.back();
    if (size > last.tensor.bytes() - last.received) {
      throw Error(reason::kShapeMismatch,
                  fmt::format("tensor '{}' takes {} bytes, {} came", last.name, last.tensor.bytes(),
                              last.received + size))
          .With("tensor", last.name);
    }
    auto* to = last.tensor.mutable_data<std::byte>() + last.received;
    last.received += size;
    return to;
  }

  void Begin(const v1::PutChunk& header) {
    CheckWhole();
    const TensorSpec spec = DecodeSpec(header.spec());
    tensors_.push_back(
        {header.name(), header.requires_grad(), AllocateTensor(session_->stream(), spec)});
  }

  void CheckWhole() const {
    if (session_ == nullptr && tensors_.empty()) return;
    if (tensors_.empty() || tensors_.back().received == tensors_.back().tensor.bytes()) return;
    const Incoming& last = tensors_.back();
    throw Error(reason::kShapeMismatch, fmt::format("tensor '{}' takes {} bytes, {} came",
                                                    last.name, last.tensor.bytes(), last.received))
        .With("tensor", last.name);
  }

  void Bind() {
    if (session_ == nullptr) {
      Finish(ToStatus(Error(reason::kInvalidArgument, "the stream held no chunk")));
      return;
    }
    const grpc::Status found = Guard([&] { store_.Find(session_->id()); });
    if (!found.ok()) {
      Finish(found);
      return;
    }
    session_->Post([this] {
      const grpc::Status status = Guard([&] {
        v1::PutResponse response;
        ExecuteOnce(*session_, sequence_, sequence_ == 0 ? 0 : Hash(), &response,
                    StopWithCall(*context_, *session_), [&](CommandScope& scope) {
                      for (Incoming& incoming : tensors_) PutOne(scope, incoming, response);
                    });
        *response_ = ToBuffer(response);
      });
      session_->Renew();
      Finish(status);
    });
  }

  static void PutOne(CommandScope& scope, Incoming& incoming, v1::PutResponse& response) {
    std::vector<NamedTensor> one;
    one.emplace_back(incoming.name, std::move(incoming.tensor));
    for (const TensorInfo& info : scope.transaction.Put(std::move(one), incoming.requires_grad)) {
      EncodeInfo(info, response.add_tensors());
    }
  }

  uint64_t Hash() const {
    uint64_t hash = absl::HashOf(std::string("PutStream"));
    for (const Incoming& incoming : tensors_) {
      const absl::string_view bytes(incoming.tensor.data<char>(), incoming.tensor.bytes());
      hash = absl::HashOf(hash, incoming.name, ToString(incoming.tensor.spec()),
                          incoming.requires_grad, bytes);
    }
    return hash;
  }

  SessionStore& store_;
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const response_;
  grpc::ByteBuffer message_;
  std::shared_ptr<Session> session_;
  uint64_t sequence_ = 0;
  std::vector<Incoming> tensors_;
};

}  // namespace

grpc::ServerReadReactor<grpc::ByteBuffer>* Service::PutStream(grpc::CallbackServerContext* context,
                                                              grpc::ByteBuffer* response) {
  return new PutStreamReactor(store_, context, response);
}

}  // namespace gradwire::rpc
