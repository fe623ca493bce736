// Models and whole sessions: what goes as files.

#include <algorithm>
#include <utility>

#include "connection.h"
#include "files.h"
#include "gradwire/client/session.h"

namespace gradwire::client {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Refuse(const v1::TensorProto& tensor, const std::string& location,
                         const std::string& why) {
  Throw(Reason::kInvalidModel,
        "initializer '" + tensor.name() + "': external data at '" + location + "' " + why,
        {{"tensor", tensor.name()}});
}

// Also in the eyes of an operating system with drives and backslashes.
bool StaysInside(std::string location) {
  std::replace(location.begin(), location.end(), '\\', '/');
  const fs::path path(location);
  return !location.empty() && location.front() != '/' && location.find(':') == std::string::npos &&
         std::find(path.begin(), path.end(), "..") == path.end();
}

fs::path Resolve(const v1::TensorProto& tensor, const std::string& location,
                 const fs::path& folder) {
  if (!StaysInside(location)) Refuse(tensor, location, "is not at a relative path without '..'");
  const fs::path root = fs::weakly_canonical(folder);
  const fs::path path = fs::weakly_canonical(folder / location);
  if (std::mismatch(root.begin(), root.end(), path.begin(), path.end()).first != root.end()) {
    Refuse(tensor, location, "leads out of '" + folder.string() + "'");
  }
  if (!fs::is_regular_file(path)) {
    Refuse(tensor, location, "is not there: no such file in '" + folder.string() + "'");
  }
  return path;
}

// Sends the messages of one LoadProgram; ends early where the call has ended, and Finish says why.
void SendProgram(grpc::ClientWriter<v1::LoadProgramRequest>& call, v1::LoadProgramRequest request,
                 std::string_view model, const ExternalFiles& external) {
  do {
    const std::string_view part = model.substr(0, kChunkBytes);
    request.set_data(part.data(), part.size());
    if (!call.Write(request)) return;
    request.Clear();
    model.remove_prefix(part.size());
  } while (!model.empty());
  for (const auto& [location, path] : external) {
    const bool alive = ReadParts(path, location, [&](v1::FileChunk chunk) {
      *request.mutable_external() = std::move(chunk);
      return call.Write(request);
    });
    if (!alive) return;
  }
}

// A file that cannot be read ends the call, which would wait for the rest of it otherwise.
template <class Writer, class Send>
grpc::Status Upload(grpc::ClientContext& context, Writer& call, const Send& send) {
  try {
    send();
  } catch (...) {
    context.TryCancel();
    call.Finish();
    throw;
  }
  call.WritesDone();
  return call.Finish();
}

}  // namespace

ExternalFiles FindExternalFiles(std::string_view model, const fs::path& folder) {
  // Every entry has this key; a model without it need not be parsed here.
  if (model.find("location") == std::string_view::npos) return {};
  v1::ModelProto parsed;
  if (!parsed.ParseFromArray(model.data(), static_cast<int>(model.size()))) {
    Throw(Reason::kInvalidModel,
          "the " + std::to_string(model.size()) + " bytes are not an onnx.ModelProto");
  }
  ExternalFiles files;
  for (const v1::TensorProto& tensor : parsed.graph().initializer()) {
    if (tensor.data_location() != v1::TensorProto_DataLocation_EXTERNAL) continue;
    std::string location;
    for (const auto& entry : tensor.external_data()) {
      if (entry.key() == "location") location = entry.value();
    }
    if (!files.contains(location)) files[location] = Resolve(tensor, location, folder);
  }
  return files;
}

v1::ProgramInfo Session::LoadProgram(const std::string& program, std::string_view model,
                                     const ProgramOptions& options) {
  v1::LoadProgramRequest head;
  head.set_program(program);
  head.set_trainable(options.trainable);
  if (options.parameter_prefix) head.set_parameter_prefix(*options.parameter_prefix);
  return LoadProgram(std::move(head), model, options.external);
}

v1::ProgramInfo Session::LoadProgram(v1::LoadProgramRequest head, std::string_view model,
                                     const ExternalFiles& external) {
  head.set_session_id(state_->id);
  if (head.sequence() == 0) head.set_sequence(state_->NextSequence());
  v1::LoadProgramResponse response;
  state_->connection->Try(state_->id, [&](grpc::ClientContext& context) {
    const auto call = state_->connection->stub->LoadProgram(&context, &response);
    return Upload(context, *call, [&] { SendProgram(*call, head, model, external); });
  });
  return response.program();
}

std::vector<fs::path> Session::Save(const fs::path& folder, const std::vector<std::string>& names) {
  v1::SaveSessionRequest request;
  request.set_session_id(state_->id);
  request.mutable_names()->Add(names.begin(), names.end());
  std::vector<fs::path> written;
  state_->connection->Try(state_->id, [&](grpc::ClientContext& context) {
    const auto call = state_->connection->stub->SaveSession(&context, request);
    FileWriter writer(folder);
    v1::FileChunk chunk;
    try {
      while (call->Read(&chunk)) writer.Write(chunk);
      written = writer.Finish();
    } catch (...) {
      context.TryCancel();
      call->Finish();
      throw;
    }
    return call->Finish();
  });
  return written;
}

v1::RestoreSessionResponse Session::Restore(const fs::path& folder) {
  const uint64_t sequence = state_->NextSequence();
  const std::vector<std::string> names = FilesUnder(folder);
  v1::RestoreSessionResponse response;
  state_->connection->Try(state_->id, [&](grpc::ClientContext& context) {
    const auto call = state_->connection->stub->RestoreSession(&context, &response);
    return Upload(context, *call, [&] {
      v1::RestoreSessionRequest request;
      request.set_session_id(state_->id);
      request.set_sequence(sequence);
      for (const std::string& name : names) {
        const bool alive = ReadParts(folder / name, name, [&](v1::FileChunk chunk) {
          *request.mutable_chunk() = std::move(chunk);
          const bool written = call->Write(request);
          request.Clear();
          return written;
        });
        if (!alive) return;
      }
    });
  });
  return response;
}

}  // namespace gradwire::client
