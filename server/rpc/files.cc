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
#include "backend/on_host.h"
#include "rpc/model.h"
#include "rpc/service.h"
#include "rpc/stream.h"
#include "rpc/wire.h"
#include "session/safetensors.h"

namespace gradwire::rpc {
namespace {

constexpr size_t kChunkBytes = size_t{2} << 20;
const std::string kTensorFile = "tensors.safetensors";
const std::string kProgramFolder = "programs/";
const std::string kProgramSuffix = ".onnx";
const char* const kLeavesKey = "gradwire.requires_grad";  // a JSON list of names
const char* const kVjpsKey = "gradwire.vjps";             // a JSON object: program to VJP program

// A piece of a file: text of its own, or a tensor's bytes.
struct Piece {
  std::string path;  // set where a file begins
  std::string text;
  Tensor tensor;

  std::string_view bytes() const {
    return tensor ? std::string_view(tensor.data<char>(), tensor.bytes()) : text;
  }
};

class SaveSessionCall final : public Download<v1::SaveSessionRequest> {
 public:
  using Download::Download;

 private:
  void Collect(CommandScope& scope) override {
    const Session& session = scope.session;
    std::vector<std::string> names = Strings(request().names());
    if (names.empty()) {
      for (const auto& [name, value] : session.names()) names.push_back(name);
    }
    std::vector<std::pair<std::string, Value>> values;
    for (const auto& [name, item] : scope.transaction.Fetch(names)) {
      values.emplace_back(name, TensorOf(name, item));
    }
    std::vector<std::pair<std::string, TensorSpec>> specs;
    nlohmann::json leaves = nlohmann::json::array();
    for (const auto& [name, value] : values) {
      specs.emplace_back(name, value.spec());
      if (value.leaf()) leaves.push_back(name);
    }
    nlohmann::json vjps = nlohmann::json::object();
    for (const auto& [name, program] : session.programs()) {
      if (program->vjp != nullptr) vjps[name] = program->vjp->name;
    }
    pieces_.push_back(
        {kTensorFile,
         SafetensorsHeader(specs, {{kLeavesKey, leaves.dump()}, {kVjpsKey, vjps.dump()}}),
         {}});
    for (const auto& [name, value] : values) {
      pieces_.push_back({"", "", OnHost(value.tensor(), scope.session.stream())});
    }
    for (const auto& [name, program] : session.programs()) {
      pieces_.push_back(
          {fmt::format("{}{}{}", kProgramFolder, name, kProgramSuffix), program->onnx, {}});
    }
  }

  bool Next(grpc::ByteBuffer& message) override {
    while (next_ < pieces_.size() && offset_ != 0 && offset_ == pieces_[next_].bytes().size()) {
      pieces_[next_++] = Piece();
      offset_ = 0;
    }
    while (next_ < pieces_.size() && pieces_[next_].path.empty() &&
           pieces_[next_].bytes().empty()) {
      ++next_;
    }
    if (next_ == pieces_.size()) return false;
    const Piece& piece = pieces_[next_];
    const std::string_view bytes = piece.bytes().substr(offset_, kChunkBytes);
    v1::FileChunk chunk;
    chunk.set_path(offset_ == 0 ? piece.path : "");
    chunk.set_data(bytes.data(), bytes.size());
    message = ToBuffer(chunk);
    offset_ += bytes.size();
    if (bytes.empty()) ++next_;
    return true;
  }

  std::vector<Piece> pieces_;
  size_t next_ = 0;
  size_t offset_ = 0;
};

class RestoreSessionCall final : public Upload<v1::RestoreSessionResponse> {
 public:
  using Upload::Upload;

 private:
  void Receive(grpc::ByteBuffer& bytes) override {
    v1::RestoreSessionRequest message;
    FromBuffer(bytes, message);
    Join(message.session_id(), message.sequence());
    if (tensors_ == nullptr) {
      tensors_ = std::make_unique<SafetensorsReader>(
          [this](const TensorSpec& spec) { return AllocateTensor(*session()->host(), spec); });
    }
    const v1::FileChunk& chunk = message.chunk();
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

  uint64_t Hash() const override { return payload_; }
  void Clear() override { tensors_.reset(); }

  void Execute(CommandScope& scope, v1::RestoreSessionResponse& response) override {
    if (has_tensors_) RestoreTensors(scope, response);
    for (const auto& [name, bytes] : programs_) {
      v1::ModelProto model;
      if (!model.ParseFromString(bytes)) {
        throw Error(reason::kInvalidModel, fmt::format("'{}{}{}' is not an onnx.ModelProto",
                                                       kProgramFolder, name, kProgramSuffix));
      }
      const std::string prefix = SavedPrefix(model).value_or(name + "/");
      LoadedProgram loaded =
          DecodeModel(std::move(model), name, prefix, scope.session.stream().host());
      scope.transaction.LoadProgram(std::move(loaded.program), {}, false);
    }
    if (has_tensors_) RestoreVjps(scope);
    for (const auto& [name, bytes] : programs_) {
      EncodeProgram(*scope.transaction.FindProgram(name), response.add_programs());
    }
  }

  // A program's own VJP is set before it becomes another's.
  void RestoreVjps(CommandScope& scope) {
    const auto found = tensors_->metadata().find(kVjpsKey);
    if (found == tensors_->metadata().end()) return;
    const auto object = nlohmann::json::parse(found->second, nullptr, /*allow_exceptions=*/false);
    std::map<std::string, std::string> vjps;
    if (object.is_object()) {
      for (const auto& [name, vjp] : object.items()) {
        if (vjp.is_string()) vjps[name] = vjp.get<std::string>();
      }
    }
    while (!vjps.empty()) {
      const auto next = std::find_if(vjps.begin(), vjps.end(), [&](const auto& setting) {
        return !vjps.contains(setting.second);
      });
      if (next == vjps.end()) {
        throw Error(reason::kInvalidArgument, "programs are each other's VJP in a circle");
      }
      scope.transaction.SetVjp(next->first, next->second);
      vjps.erase(next);
    }
  }

  void RestoreTensors(CommandScope& scope, v1::RestoreSessionResponse& response) {
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
      one.emplace_back(name, FromHost(std::move(tensor), scope.session.stream()));
      for (const TensorInfo& info : scope.transaction.Put(std::move(one), leaf)) {
        EncodeInfo(info, response.add_tensors());
      }
    }
  }

  uint64_t payload_ = 1;
  std::unique_ptr<SafetensorsReader> tensors_;
  bool has_tensors_ = false;
  bool in_tensor_file_ = false;
  std::map<std::string, std::string> programs_;
  std::string* program_ = nullptr;
};

}  // namespace

std::unique_ptr<Call> Service::SaveSession() { return std::make_unique<SaveSessionCall>(access_); }

std::unique_ptr<Call> Service::RestoreSession() {
  return std::make_unique<RestoreSessionCall>(access_);
}

}  // namespace gradwire::rpc
