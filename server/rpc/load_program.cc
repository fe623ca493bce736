// LoadProgram: a model in chunks, then one command.

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/hash/hash.h"
#include "backend/on_host.h"
#include "backend/quota.h"
#include "rpc/model.h"
#include "rpc/model_check.h"
#include "rpc/node.h"
#include "rpc/service.h"
#include "rpc/stream.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

// Recorded nodes mean the newest version of domains of which nothing is said.
void ImportMissing(v1::ModelProto& model) {
  OpsetImports imports = DecodeImports(model.opset_import());
  ForEachNode(model.graph().node(), [&](const v1::NodeProto& node) {
    const std::string domain = node.domain() == "ai.onnx" ? "" : node.domain();
    if (!imports.emplace(domain, NewestOpset(domain)).second) return;
    auto& import = *model.add_opset_import();
    import.set_domain(domain);
    import.set_version(NewestOpset(domain));
  });
}

// The model of a call: `head` is its first message, `data` that of all messages.
v1::ModelProto ModelOf(v1::LoadProgramRequest& head, const std::string& data) {
  v1::ModelProto model;
  if (head.has_graph()) {
    if (!data.empty()) {
      throw Error(reason::kInvalidArgument, "give either `graph` or a model in `data`");
    }
    model.set_ir_version(kMaxIrVersion);
    *model.mutable_graph() = std::move(*head.mutable_graph());
    *model.mutable_opset_import() = head.opset_import();
    ImportMissing(model);
    return model;
  }
  if (!model.ParseFromString(data)) {
    throw Error(reason::kInvalidModel,
                fmt::format("the {} bytes are not an onnx.ModelProto", data.size()));
  }
  if (!model.has_graph()) throw Error(reason::kInvalidModel, "the model has no graph");
  return model;
}

class LoadProgramCall final : public Upload<v1::LoadProgramResponse> {
 public:
  using Upload::Upload;

 private:
  void Receive(grpc::ByteBuffer& bytes) override {
    v1::LoadProgramRequest message;
    FromBuffer(bytes, message);
    const bool first = session() == nullptr;
    Join(message.session_id(), message.sequence());
    if (first) replayable_ = message.sequence() != 0;
    if (replayable_) {
      payload_ = first ? PayloadHash(message)
                       : absl::HashOf(payload_, message.data(), message.external().path(),
                                      message.external().data());
    }
    const bool has_external = message.has_external();
    std::string data = std::move(*message.mutable_data());
    const v1::FileChunk external = std::move(*message.mutable_external());
    if (first) head_ = std::move(message);
    if (!data.empty()) Append(std::move(data));
    if (!has_external) return;
    Decode();
    loaded_->external.Receive(external);
  }

  void Append(std::string data) {
    if (loaded_.has_value()) {
      throw Error(reason::kInvalidArgument, "the model's `data` comes before `external`");
    }
    CheckModelSize(data_.size() + data.size());
    received_.Grow(session()->host()->quota(), static_cast<int64_t>(data.size()));
    if (data_.empty()) {
      data_ = std::move(data);
    } else {
      data_.append(data);
    }
  }

  void Decode() {
    if (loaded_.has_value()) return;
    const std::string prefix =
        head_.has_parameter_prefix() ? head_.parameter_prefix() : head_.program() + "/";
    v1::ModelProto model = TakeModel();
    loaded_ = DecodeModel(std::move(model), head_.program(), prefix, *session()->host());
  }

  // The bytes go before arrays are made of the model.
  v1::ModelProto TakeModel() {
    const std::string data = std::exchange(data_, {});
    const Booking booked = std::move(received_);
    return ModelOf(head_, data);
  }

  void Complete() override {
    Decode();
    loaded_->external.Complete();
  }

  uint64_t Hash() const override { return payload_; }

  void Execute(CommandScope& scope, v1::LoadProgramResponse& response) override {
    EncodeProgram(loaded_->program, response.mutable_program());
    for (auto& [name, tensor] : loaded_->initializers) {
      tensor = FromHost(std::move(tensor), scope.session.stream());
    }
    scope.transaction.LoadProgram(std::move(loaded_->program), std::move(loaded_->initializers),
                                  head_.trainable());
  }

  void Clear() override { loaded_.reset(); }

  v1::LoadProgramRequest head_;  // the first message, without what may be large
  std::string data_;
  Booking received_;  // of data_
  std::optional<LoadedProgram> loaded_;
  bool replayable_ = false;
  uint64_t payload_ = 0;  // a hash of all that came, where it is replayable
};

}  // namespace

std::unique_ptr<Call> Service::LoadProgram() { return std::make_unique<LoadProgramCall>(access_); }

}  // namespace gradwire::rpc
