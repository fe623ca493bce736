// PutStream: chunks straight into host memory, which on a CPU is the tensor's, then one Put.

#include <fmt/format.h>

#include <span>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "backend/on_host.h"
#include "core/bools.h"
#include "core/strings.h"
#include "rpc/bytes_hash.h"
#include "rpc/chunk.h"
#include "rpc/service.h"
#include "rpc/stream.h"
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

class PutStreamCall final : public Upload<v1::PutResponse> {
 public:
  using Upload::Upload;

 private:
  void Receive(grpc::ByteBuffer& message) override {
    v1::PutChunk header;
    const Pieces data = ReadPutChunk(message, header);
    Join(header.session_id(), header.sequence());
    if (!header.name().empty()) Begin(header);
    if (tensors_.empty()) throw Error(reason::kInvalidArgument, "the first chunk has no name");
    Incoming& last = tensors_.back();
    const size_t size = BytesIn(data), whole = last.tensor.bytes();
    if (size > whole - last.received) {
      throw Error(reason::kShapeMismatch, fmt::format("tensor '{}' takes {} bytes, {} came",
                                                      last.name, whole, last.received + size))
          .With("tensor", last.name);
    }
    auto* const to = last.tensor.mutable_data<std::byte>() + last.received;
    last.received += size;
    CopyPieces(to, data, whole);
  }

  void Begin(const v1::PutChunk& header) {
    CheckWhole();
    const TensorSpec spec = DecodeSpec(header.spec());
    RequireBytes(spec, "PutStream");
    tensors_.push_back(
        {header.name(), header.requires_grad(), AllocateTensor(*session()->host(), spec)});
  }

  void Complete() override { CheckWhole(); }

  void CheckWhole() const {
    if (tensors_.empty() || tensors_.back().received == tensors_.back().tensor.bytes()) return;
    const Incoming& last = tensors_.back();
    throw Error(reason::kShapeMismatch, fmt::format("tensor '{}' takes {} bytes, {} came",
                                                    last.name, last.tensor.bytes(), last.received))
        .With("tensor", last.name);
  }

  void Execute(CommandScope& scope, v1::PutResponse& response) override {
    for (Incoming& incoming : tensors_) PutOne(scope, incoming, response);
  }

  bool IsBrief() const override {
    size_t bytes = 0;
    for (const Incoming& incoming : tensors_) bytes += incoming.tensor.bytes();
    return bytes <= kBriefBytes && session()->device().type == DeviceType::kCpu;
  }
  void Clear() override { tensors_.clear(); }

  static void PutOne(CommandScope& scope, Incoming& incoming, v1::PutResponse& response) {
    MakeBoolsValid(incoming.tensor);
    std::vector<NamedTensor> one;
    one.emplace_back(incoming.name, FromHost(std::move(incoming.tensor), scope.session.stream()));
    for (const TensorInfo& info : scope.transaction.Put(std::move(one), incoming.requires_grad)) {
      EncodeInfo(info, response.add_tensors());
    }
  }

  uint64_t Hash() const override {
    uint64_t hash = absl::HashOf(std::string("PutStream"));
    for (const Incoming& incoming : tensors_) {
      const std::span<const std::byte> bytes(incoming.tensor.data<std::byte>(),
                                             incoming.tensor.bytes());
      hash = absl::HashOf(hash, incoming.name, ToString(incoming.tensor.spec()),
                          incoming.requires_grad, HashBytes({&bytes, 1}));
    }
    return hash;
  }

  std::vector<Incoming> tensors_;
};

}  // namespace

std::unique_ptr<Call> Service::PutStream() { return std::make_unique<PutStreamCall>(access_); }

}  // namespace gradwire::rpc
