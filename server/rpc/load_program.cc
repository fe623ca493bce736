// LoadProgram: a model in chunks, then one command.

#include <fmt/format.h>

#include <string>
#include <utility>

#include "rpc/model.h"
#include "rpc/model_check.h"
#include "rpc/service.h"
#include "rpc/stream.h"
#include "rpc/wire.h"

namespace gradwire::rpc {
namespace {

// Recorded nodes mean the newest version of domains of which nothing is said.
void ImportMissing(v1::ModelProto& model) {
  OpsetImports imports = DecodeImports(model.opset_import());
  for (const auto& node : model.graph().node()) {
    const std::string domain = node.domain() == "ai.onnx" ? "" : node.domain();
    if (!imports.emplace(domain, NewestOpset(domain)).second) continue;
    auto& import = *model.add_opset_import();
    import.set_domain(domain);
    import.set_version(NewestOpset(domain));
  }
}

// What the chunks of a call amount to: the first message with all data appended.
v1::ModelProto ModelOf(v1::LoadProgramRequest& request) {
  v1::ModelProto model;
  if (request.has_graph()) {
    if (!request.data().empty()) {
      throw Error(reason::kInvalidArgument, "give either `graph` or a model in `data`");
    }
    model.set_ir_version(kMaxIrVersion);
    *model.mutable_graph() = std::move(*request.mutable_graph());
    *model.mutable_opset_import() = request.opset_import();
    ImportMissing(model);
    return model;
  }
  if (!model.ParseFromString(request.data())) {
    throw Error(reason::kInvalidModel,
                fmt::format("the {} bytes are not an onnx.ModelProto", request.data().size()));
  }
  if (!model.has_graph()) throw Error(reason::kInvalidModel, "the model has no graph");
  return model;
}

class LoadProgramReactor final : public Upload<v1::LoadProgramRequest, v1::LoadProgramResponse> {
 public:
  using Upload::Upload;

 private:
  void Receive(v1::LoadProgramRequest& message) override {
    Join(message.session_id(), message.sequence());
    if (first_) {
      first_ = false;
      whole_ = std::move(message);
    } else {
      CheckModelSize(whole_.data().size() + message.data().size());
      whole_.mutable_data()->append(message.data());
    }
  }

  uint64_t Hash() const override { return PayloadHash(whole_); }

  void Execute(CommandScope& scope, v1::LoadProgramResponse& response) override {
    const std::string prefix =
        whole_.has_parameter_prefix() ? whole_.parameter_prefix() : whole_.program() + "/";
    LoadedProgram loaded = DecodeModel(ModelOf(whole_), whole_.program(), prefix);
    EncodeProgram(loaded.program, response.mutable_program());
    for (auto& [name, tensor] : loaded.initializers) {
      tensor = OnDevice(tensor, scope.session.stream());
    }
    scope.transaction.LoadProgram(std::move(loaded.program), std::move(loaded.initializers),
                                  whole_.trainable());
  }

  v1::LoadProgramRequest whole_;
  bool first_ = true;
};

}  // namespace

grpc::ServerReadReactor<v1::LoadProgramRequest>* Service::LoadProgram(
    grpc::CallbackServerContext* context, v1::LoadProgramResponse* response) {
  return new LoadProgramReactor(store_, context, response);
}

}  // namespace gradwire::rpc
