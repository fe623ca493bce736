// SaveSession and RestoreSession: arrays as one safetensors file, programs as ONNX files.

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "rpc/execute.h"
#include "rpc/model.h"
#include "rpc/service.h"
#include "rpc/wire.h"
#include "session/safetensors.h"

namespace gradwire::rpc {
namespace {

constexpr size_t kChunkBytes = size_t{2} << 20;
const std::string kTensorFile = "tensors.safetensors";
const std::string kProgramFolder = "programs/";
const std::string kProgramSuffix = ".onnx";
const char* const kLeavesKey = "gradwire.requires_grad";  // a JSON list of names

// A piece of a file: text of its own, or a tensor's bytes.
struct Piece {
  std::string path;  // set where a file begins
  std::string text;
  Tensor tensor;

  std::string_view bytes() const {
    return tensor ? std::string_view(tensor.data<char>(), tensor.bytes()) : text;
  }
};

class SaveSessionReactor final : public grpc::ServerWriteReactor<v1::FileChunk> {
 public:
  SaveSessionReactor(SessionStore& store, grpc::CallbackServerContext* context,
                     const v1::SaveSessionRequest* request)
      : context_(context), request_(request) {
    const grpc::Status found = Guard([&] { session_ = store.Find(request->session_id()); });
    if (!found.ok()) {
      Finish(found);
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
  void Start() {
    const grpc::Status status = Guard([&] { Collect(); });
    if (!status.ok()) {
      Finish(status);
      return;
    }
    WriteNext();
  }

  void Collect() {
    CommandScope scope(*session_, StopWithCall(*context_, *session_));
    std::vector<std::string> names = Strings(request_->names());
    if (names.empty()) {
      for (const auto& [name, value] : session_->names()) names.push_back(name);
    }
    const std::vector<NamedValue> values = scope.transaction.Fetch(names);
    scope.Commit();
    std::vector<std::pair<std::string, TensorSpec>> specs;
    nlohmann::json leaves = nlohmann::json::array();
    for (const auto& [name, value] : values) {
      specs.emplace_back(name, value.spec());
      if (value.leaf()) leaves.push_back(name);
    }
    pieces_.push_back({kTensorFile, SafetensorsHeader(specs, {{kLeavesKey, leaves.dump()}}), {}});
    for (const auto& [name, value] : values) {
      pieces_.push_back({"", "", OnHost(value.tensor(), session_->stream())});
    }
    for (const auto& [name, program] : session_->programs()) {
      pieces_.push_back(
          {fmt::format("{}{}{}", kProgramFolder, name, kProgramSuffix), program->onnx, {}});
    }
  }

  void WriteNext() {
    session_->Renew();
    while (next_ < pieces_.size() && offset_ != 0 && offset_ == pieces_[next_].bytes().size()) {
      pieces_[next_++] = Piece();
      offset_ = 0;
    }
    while (next_ < pieces_.size() && pieces_[next_].path.empty() &&
           pieces_[next_].bytes().empty()) {
      ++next_;
    }
    if (next_ == pieces_.size()) {
      Finish(grpc::Status::OK);
      return;
    }
    const Piece& piece = pieces_[next_];
    const std::string_view bytes = piece.bytes().substr(offset_, kChunkBytes);
    chunk_.set_path(offset_ == 0 ? piece.path : "");
    chunk_.set_data(bytes.data(), bytes.size());
    offset_ += bytes.size();
    if (bytes.empty()) ++next_;
    StartWrite(&chunk_);
  }

  grpc::CallbackServerContext* const context_;
  const v1::SaveSessionRequest* const request_;
  std::shared_ptr<Session> session_;
  std::vector<Piece> pieces_;
  size_t next_ = 0;
  size_t offset_ = 0;
  v1::FileChunk chunk_;
};

class RestoreSessionReactor final : public grpc::ServerReadReactor<v1::RestoreSessionRequest> {
 public:
  RestoreSessionReactor(SessionStore& store, grpc::CallbackServerContext* context,
                        v1::RestoreSessionResponse* response)
      : store_(store), context_(context), response_(response) {
    StartRead(&message_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Restore();
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
    if (session_ == nullptr) {
      session_ = store_.Find(message_.session_id());
      sequence_ = message_.sequence();
      tensors_ = std::make_unique<SafetensorsReader>(
          [this](const TensorSpec& spec) { return AllocateTensor(session_->stream(), spec); });
    } else {
      store_.Find(session_->id());  // renews the lease, or says that the session has ended
    }
    const v1::FileChunk& chunk = message_.chunk();
    if (!chunk.path().empty()) Begin(chunk.path());
    if (program_ != nullptr) {
      CheckModelSize(program_->size() + chunk.data().size());
      program_->append(chunk.data());
    } else if (in_tensor_file_) {
      tensors_->Feed(chunk.data());
    } else {
      throw Error(reason::kInvalidArgument, "the first chunk has no path");
    }
    payload_ = absl::HashOf(payload_, chunk.path(), chunk.data());
  }

  void Begin(const std::string& path) {
    program_ = nullptr;
    in_tensor_file_ = path == kTensorFile;
    if (in_tensor_file_) {
      has_tensors_ = true;
      return;
    }
    const size_t edges = kProgramFolder.size() + kProgramSuffix.size();
    if (path.size() <= edges || !path.starts_with(kProgramFolder) ||
        !path.ends_with(kProgramSuffix)) {
      throw Error(reason::kInvalidArgument, fmt::format("'{}' is no file of a session", path));
    }
    program_ = &programs_[path.substr(kProgramFolder.size(), path.size() - edges)];
    program_->clear();
  }

  void Restore() {
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
        ExecuteOnce(*session_, sequence_, payload_, response_, StopWithCall(*context_, *session_),
                    [&](CommandScope& scope) { RestoreInto(scope); });
      });
      session_->Renew();
      Finish(status);
    });
  }

  void RestoreInto(CommandScope& scope) {
    if (has_tensors_) RestoreTensors(scope);
    for (const auto& [name, bytes] : programs_) {
      v1::ModelProto model;
      if (!model.ParseFromString(bytes)) {
        throw Error(reason::kInvalidModel, fmt::format("'{}{}{}' is not an onnx.ModelProto",
                                                       kProgramFolder, name, kProgramSuffix));
      }
      const std::string prefix = SavedPrefix(model).value_or(name + "/");
      LoadedProgram loaded = DecodeModel(std::move(model), name, prefix);
      EncodeProgram(loaded.program, response_->add_programs());
      scope.transaction.LoadProgram(std::move(loaded.program), {}, false);
    }
  }

  void RestoreTensors(CommandScope& scope) {
    std::vector<NamedTensor> tensors = tensors_->Finish();
    std::set<std::string> leaves;
    const auto found = tensors_->metadata().find(kLeavesKey);
    if (found != tensors_->metadata().end()) {
      const auto list = nlohmann::json::parse(found->second, nullptr, /*allow_exceptions=*/false);
      for (const auto& name : list) {
        if (name.is_string()) leaves.insert(name.get<std::string>());
      }
    }
    for (auto& [name, tensor] : tensors) {
      std::vector<NamedTensor> one;
      const bool leaf = leaves.contains(name);
      one.emplace_back(name, std::move(tensor));
      for (const TensorInfo& info : scope.transaction.Put(std::move(one), leaf)) {
        EncodeInfo(info, response_->add_tensors());
      }
    }
  }

  SessionStore& store_;
  grpc::CallbackServerContext* const context_;
  v1::RestoreSessionResponse* const response_;
  v1::RestoreSessionRequest message_;
  std::shared_ptr<Session> session_;
  uint64_t sequence_ = 0;
  uint64_t payload_ = 1;
  std::unique_ptr<SafetensorsReader> tensors_;
  bool has_tensors_ = false;
  bool in_tensor_file_ = false;
  std::map<std::string, std::string> programs_;
  std::string* program_ = nullptr;
};

}  // namespace

grpc::ServerWriteReactor<v1::FileChunk>* Service::SaveSession(
    grpc::CallbackServerContext* context, const v1::SaveSessionRequest* request) {
  return new SaveSessionReactor(store_, context, request);
}

grpc::ServerReadReactor<v1::RestoreSessionRequest>* Service::RestoreSession(
    grpc::CallbackServerContext* context, v1::RestoreSessionResponse* response) {
  return new RestoreSessionReactor(store_, context, response);
}

}  // namespace gradwire::rpc
