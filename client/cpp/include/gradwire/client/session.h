// A session: an isolated namespace of tensors on a server. The verbs have the names, and take and
// give the messages, of gradwire.proto.
#ifndef GRADWIRE_CLIENT_SESSION_H_
#define GRADWIRE_CLIENT_SESSION_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradwire/client/array.h"
#include "gradwire/client/error.h"
#include "gradwire/client/pipeline.h"
#include "gradwire/client/program.h"
#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::client {

struct Connection;

// A call under way, made by a Start verb. A copy names the same call.
class PendingCall {
 public:
  explicit PendingCall(std::function<void()> cancel) : cancel_(std::move(cancel)) {}
  // Gives the call up; its `done` still runs. The server stops between two operators, and the
  // command has then happened wholly or not at all.
  void Cancel() const { cancel_(); }

 private:
  std::function<void()> cancel_;
};

// Closes itself at the end of its life. Verbs may be called from several threads; the server runs a
// session's commands in the order in which they arrive. A C++ move is for one thread.
//
// Verbs that take a request fill in session_id, and `sequence` where it is 0; every verb throws an
// Error. A command that fails leaves the session as it was. After Close they throw
// SESSION_NOT_FOUND. Nothing may be asked of a session that was moved from.
class Session {
 public:
  Session(std::shared_ptr<Connection> connection, std::string id);
  Session(Session&& other) noexcept = default;
  // Closes the session that is replaced.
  Session& operator=(Session&& other) noexcept;
  // Closes the session if it is open: one try of at most 10 seconds, whose errors are lost. Call
  // Close to see them.
  ~Session();

  const std::string& id() const { return state_->id; }

  // Frees all that the session holds on the server.
  void Close();
  // The same without waiting; `done` runs on a gRPC thread.
  void StartClose(std::function<void(const Error*)> done);
  // Leaves the session open on the server, until its lease ends; returns its id.
  std::string Release();
  void KeepAlive();
  v1::DescribeSessionResponse Describe();
  // Has all of it on another device of the server, "cpu" or "cuda:N"; returns where it is. Nothing
  // has moved after an error: DEVICE_NOT_FOUND, OUT_OF_MEMORY, OP_UNSUPPORTED for strings.
  std::string Move(const std::string& device);

  // Binds arrays of any size (PutStream). The caller's memory goes to the network without a copy
  // in between, and is no longer read when this returns or throws. Throws INVALID_ARGUMENT,
  // before anything is sent, where an array's bytes do not fit its type and dims.
  std::vector<v1::TensorInfo> Put(std::span<const ArrayView> arrays, bool requires_grad = false);
  std::vector<v1::TensorInfo> Put(std::initializer_list<ArrayView> arrays,
                                  bool requires_grad = false) {
    return Put(std::span(arrays.begin(), arrays.size()), requires_grad);
  }
  // An array of any size (FetchStream), and several, in the order of `names`. Throws
  // INVALID_ARGUMENT for arrays of strings: the unary Fetch has those.
  Array Fetch(const std::string& name);
  std::vector<Array> FetchMany(const std::vector<std::string>& names);
  // Writes a tensor into the caller's memory, straight from the network, and returns its spec.
  // Throws SHAPE_MISMATCH where it does not have `into.size()` bytes. What `into` holds after an
  // error is unspecified.
  v1::TensorSpec FetchInto(const std::string& name, std::span<std::byte> into);

  // Small arrays, by unary calls: bound by GetServerInfo's max_message_bytes.
  v1::PutResponse Put(v1::PutRequest request);
  v1::FetchResponse Fetch(v1::FetchRequest request);

  v1::ForwardResponse Forward(v1::ForwardRequest request);
  v1::BackwardResponse Backward(v1::BackwardRequest request);
  v1::GradientsResponse Gradients(v1::GradientsRequest request);
  v1::JvpResponse Jvp(v1::JvpRequest request);
  v1::HvpResponse Hvp(v1::HvpRequest request);
  v1::DetachResponse Detach(v1::DetachRequest request);
  v1::CopyResponse Copy(v1::CopyRequest request);
  v1::DeleteResponse Delete(v1::DeleteRequest request);
  v1::StepResponse Step(v1::StepRequest request);
  v1::ZeroGradResponse ZeroGrad(v1::ZeroGradRequest request);

  std::vector<v1::TensorInfo> ListTensors(const std::string& prefix = "");
  v1::TensorInfo DescribeTensor(const std::string& name);
  v1::GetGraphResponse GetGraph(const std::string& name);

  // Loads a serialized ONNX model of any size under a name. Throws INVALID_MODEL.
  v1::ProgramInfo LoadProgram(const std::string& program, std::string_view model,
                              const ProgramOptions& options = {});
  // The same, or nodes recorded once: `head` is all but `data` and `external`.
  v1::ProgramInfo LoadProgram(v1::LoadProgramRequest head, std::string_view model = {},
                              const ExternalFiles& external = {});
  std::vector<v1::ProgramInfo> ListPrograms();
  void UnloadProgram(const std::string& program);
  // What a program needs, and the shapes in it, before it runs.
  v1::DescribeProgramResponse DescribeProgram(v1::DescribeProgramRequest request);
  // Makes the program `vjp` the derivative of another, whose operators give it again for "".
  v1::ProgramInfo SetVjp(const std::string& program, const std::string& vjp);

  // SaveSession into a folder, made where it is missing: `tensors.safetensors` and one
  // `programs/NAME.onnx` a program. Tensors of these names; all where there are none. Returns the
  // files. Here and in Restore std::filesystem::filesystem_error is thrown for a file that cannot
  // be read or written.
  std::vector<std::filesystem::path> Save(const std::filesystem::path& folder,
                                          const std::vector<std::string>& names = {});
  // RestoreSession from a folder that Save wrote: its tensors become leaves.
  v1::RestoreSessionResponse Restore(const std::filesystem::path& folder);

  // Many commands in one round trip, all of them or none: Run(Batch(forward, backward, step)).
  v1::RunResponse Run(v1::RunRequest request);

  // Without waiting, by unary calls, each tried once. `sequence` is sent as it is: 0 means that the
  // server need not remember the answer. `done` runs on a gRPC thread, must not block, and gets
  // null and the answer, or the error. Calls that are started without waiting for each other may
  // arrive in another order: a Pipeline keeps it.
  PendingCall Start(v1::Command command, std::function<void(const Error*, v1::CommandResult)> done,
                    uint64_t sequence = 0);
  PendingCall Start(v1::RunRequest request,
                    std::function<void(const Error*, v1::RunResponse)> done);

  // Commands in order, without waiting, their answers as futures. Must end before the session.
  Pipeline OpenPipeline();

 private:
  struct State {
    State(std::shared_ptr<Connection> to, std::string name);
    uint64_t NextSequence() { return ++sequence; }
    const std::shared_ptr<Connection> connection;
    const std::string id;
    // Begins anywhere, so that clients that share a session do not take each other's numbers.
    std::atomic<uint64_t> sequence;
    std::atomic<bool> open{true};
  };

  // A FetchStream whose arrays go to `destination(index, spec)`, of as many bytes as spec says.
  void FetchStream(
      const std::vector<std::string>& names,
      const std::function<std::span<std::byte>(size_t, const v1::TensorSpec&)>& destination);

  // Null once it is moved from.
  std::unique_ptr<State> state_;
};

}  // namespace gradwire::client

#endif  // GRADWIRE_CLIENT_SESSION_H_
