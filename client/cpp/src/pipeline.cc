#include "gradwire/client/pipeline.h"

#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "connection.h"
#include "gradwire/client/session.h"

namespace gradwire::client {

// One thread reads the answers; senders write.
struct Pipeline::State {
  State(std::shared_ptr<Connection> to, std::string id)
      : connection(std::move(to)), session_id(std::move(id)) {
    connection->Prepare(context, session_id);
    stream = connection->stub->Pipeline(&context);
    reader = std::thread([this] { Read(); });
  }

  std::future<v1::CommandResult> Send(v1::Command command) {
    const std::lock_guard writing(write_mutex);
    v1::PipelineRequest request;
    if (sent == 0) request.set_session_id(session_id);
    request.set_sequence(next_sequence());
    *request.mutable_command() = std::move(command);
    ++sent;
    std::future<v1::CommandResult> future;
    {
      const std::lock_guard lock(mutex);
      std::promise<v1::CommandResult>& promise = waiting.emplace_back();
      future = promise.get_future();
      if (broken != nullptr) {
        promise.set_exception(broken);
        waiting.pop_back();
        return future;
      }
    }
    // Where this fails the reader sees the end of the stream, and the future gets its error.
    stream->Write(request);
    return future;
  }

  void Close() {
    {
      const std::lock_guard writing(write_mutex);
      if (!reader.joinable()) return;
      stream->WritesDone();
    }
    reader.join();
  }

  const std::shared_ptr<Connection> connection;
  const std::string session_id;
  std::function<uint64_t()> next_sequence;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PipelineRequest, v1::PipelineResponse>> stream;
  // Held over writing, which may block until answers are read: never by the reader before the end.
  std::mutex write_mutex;
  uint64_t sent = 0;
  std::mutex mutex;  // of `waiting` and `broken`
  std::deque<std::promise<v1::CommandResult>> waiting;
  std::exception_ptr broken;
  std::exception_ptr failure;  // the stream's own; for Close
  std::thread reader;

 private:
  void Read() {
    v1::PipelineResponse response;
    while (stream->Read(&response)) {
      std::promise<v1::CommandResult> promise;
      {
        const std::lock_guard lock(mutex);
        if (waiting.empty()) break;
        promise = std::move(waiting.front());
        waiting.pop_front();
      }
      Answer(promise, response);
    }
    const grpc::Status status = stream->Finish();
    try {
      if (!status.ok()) Throw(status);
      Throw(Reason::kCancelled, "the pipeline has ended");
    } catch (const Error&) {
      const std::lock_guard lock(mutex);
      broken = std::current_exception();
      if (!status.ok()) failure = broken;
      for (auto& promise : waiting) promise.set_exception(broken);
      waiting.clear();
    }
  }

  static void Answer(std::promise<v1::CommandResult>& promise, v1::PipelineResponse& response) {
    try {
      if (response.outcome_case() == v1::PipelineResponse::kError) {
        ThrowSerialized(response.error());
      }
      promise.set_value(std::move(*response.mutable_result()));
    } catch (const Error&) {
      promise.set_exception(std::current_exception());
    }
  }
};

Pipeline::Pipeline(std::unique_ptr<State> state) : state_(std::move(state)) {}
Pipeline::Pipeline(Pipeline&& other) noexcept = default;

Pipeline& Pipeline::operator=(Pipeline&& other) noexcept {
  if (this != &other) {
    const Pipeline replaced(std::move(*this));
    state_ = std::move(other.state_);
  }
  return *this;
}

Pipeline::~Pipeline() {
  if (state_ != nullptr) state_->Close();
}

std::future<v1::CommandResult> Pipeline::Send(v1::Command command) {
  return state_->Send(std::move(command));
}

void Pipeline::Close() {
  state_->Close();
  if (state_->failure != nullptr) std::rethrow_exception(state_->failure);
}

Pipeline Session::OpenPipeline() {
  auto state = std::make_unique<Pipeline::State>(state_->connection, state_->id);
  state->next_sequence = [session = state_.get()] { return session->NextSequence(); };
  return Pipeline(std::move(state));
}

}  // namespace gradwire::client
