// LoadProgram: a model in chunks, then one command.

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

#include "rpc/execute.h"
#include "rpc/model.h"
#include "rpc/model_check.h"
#include "rpc/service.h"
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

class LoadProgramReactor final : public grpc::ServerReadReactor<v1::LoadProgramRequest> {
 public:
  LoadProgramReactor(SessionStore& store, grpc::CallbackServerContext* context,
                     v1::LoadProgramResponse* response)
      : store_(store), context_(context), response_(response) {
    StartRead(&message_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Load();
      return;
    }
    const grpc::Status status = Guard([&] { Receive(); });
    if (!status.ok()) {
      Finish(status);
      return;
    }
    StartRead(&message_);
  }

  void OnDone() override { delete this; }

 private:
  void Receive() {
    if (first_) {
      first_ = false;
      whole_ = std::move(message_);
    } else {
      CheckModelSize(whole_.data().size() + message_.data().size());
      whole_.mutable_data()->append(message_.data());
    }
    store_.Find(whole_.session_id());  // nothing is collected for a session that is not there
  }

  void Load() {
    const grpc::Status found = Guard([&] { session_ = store_.Find(whole_.session_id()); });
    if (!found.ok()) {
      Finish(found);
      return;
    }
    session_->Post([this] {
      const grpc::Status status = Guard([&] {
        const uint64_t sequence = whole_.sequence();
        ExecuteOnce(*session_, sequence, sequence == 0 ? 0 : PayloadHash(whole_), response_,
                    StopWithCall(*context_, *session_),
                    [&](CommandScope& scope) { LoadInto(scope); });
      });
      session_->Renew();
      Finish(status);
    });
  }

  void LoadInto(CommandScope& scope) {
    const std::string prefix =
        whole_.has_parameter_prefix() ? whole_.parameter_prefix() : whole_.program() + "/";
    LoadedProgram loaded = DecodeModel(ModelOf(whole_), whole_.program(), prefix);
    EncodeProgram(loaded.program, response_->mutable_program());
    for (auto& [name, tensor] : loaded.initializers) {
      tensor = OnDevice(tensor, scope.session.stream());
    }
    scope.transaction.LoadProgram(std::move(loaded.program), std::move(loaded.initializers),
                                  whole_.trainable());
  }

  SessionStore& store_;
  grpc::CallbackServerContext* const context_;
  v1::LoadProgramResponse* const response_;
  v1::LoadProgramRequest message_;
  v1::LoadProgramRequest whole_;
  bool first_ = true;
  std::shared_ptr<Session> session_;
};

}  // namespace

grpc::ServerReadReactor<v1::LoadProgramRequest>* Service::LoadProgram(
    grpc::CallbackServerContext* context, v1::LoadProgramResponse* response) {
  return new LoadProgramReactor(store_, context, response);
}

}  // namespace gradwire::rpc
