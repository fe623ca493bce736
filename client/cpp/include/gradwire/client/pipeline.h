// Commands without waiting for their answers.
#ifndef GRADWIRE_CLIENT_PIPELINE_H_
#define GRADWIRE_CLIENT_PIPELINE_H_

#include <future>
#include <memory>

#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::client {

// A Pipeline stream: the server runs the commands in the order in which they were sent. One that
// fails poisons the names that it would have bound: commands that read them fail with
// DEPENDENCY_FAILED. Made by Session::OpenPipeline. Thread-safe but for moving.
class Pipeline {
 public:
  struct State;

  explicit Pipeline(std::unique_ptr<State> state);
  Pipeline(Pipeline&& other) noexcept;
  Pipeline& operator=(Pipeline&& other) noexcept;
  // Waits until what was sent has been answered; errors are in the futures only.
  ~Pipeline();

  // Sends a command. Its future gives the answer, or throws the command's Error, or, where the
  // stream broke, the stream's. Blocks only while the server has more than it takes unanswered.
  // REQUIRES: not closed.
  std::future<v1::CommandResult> Send(v1::Command command);

  // Waits for all answers. Throws the stream's Error; a command's is in its future.
  void Close();

 private:
  std::unique_ptr<State> state_;
};

}  // namespace gradwire::client

#endif  // GRADWIRE_CLIENT_PIPELINE_H_
