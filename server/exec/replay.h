// Plans that run again and again on a device that records work: recorded once, then queued as a
// whole.
#ifndef GRADWIRE_EXEC_REPLAY_H_
#define GRADWIRE_EXEC_REPLAY_H_

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "exec/chain.h"
#include "exec/executor.h"
#include "exec/plan.h"
#include "exec/run_step.h"

namespace gradwire {

// Recorded work reads and writes the addresses that it was recorded with. So
// - arrays that come anew with each run are copied to where they are read from;
// - what is kept afterwards goes to one of two places of its own, the one that nobody holds: a
//   training step that reads what the step before left goes back and forth between them;
// - all else that a run makes lies in memory that is the recording's own.
// Steps that the host has a part in are run between recordings. Work is recorded when a run with
// the same addresses comes for the second time. Not thread-safe: lives on a session's strand.
class Replay {
 public:
  // `fresh`: the numbers of arrays that are other ones in each run.
  Replay(const Plan& plan, std::vector<int> fresh);

  // Does what executor.Run(plan, arrays) does, put-off checks too. `plan` is that of the
  // constructor. Errors leave nothing that a later run could meet.
  void Run(const Plan& plan, std::vector<Tensor>& arrays, Executor& executor);

  // How many runs were recorded ones.
  int64_t replayed() const { return replayed_; }

 private:
  // A recording, or a step that is run anew each time.
  struct Part {
    std::unique_ptr<Recording> recording;
    Chain::OpCounts ops;  // of its steps
    size_t step = 0;      // the one, without a recording
    StepArrays arrays;    // of that
  };
  // What the addresses of a run were.
  using Addresses = std::vector<const void*>;
  struct Variant {
    Addresses addresses;
    bool recorded = false;
    std::unique_ptr<Capture> capture;  // keeps the memory of the parts, which go before it
    std::vector<Part> parts;
  };
  using Buffers = std::vector<BufferPtr>;  // by number; null where there is none
  // Memory, and what stands for it while somebody holds it.
  struct Home {
    BufferPtr memory;
    std::weak_ptr<Buffer> lent;
  };

  // A place that nobody holds for each of placed_; none where all places of one are held.
  std::optional<Buffers> FreePlaces(const Plan& plan, Stream& stream);
  Addresses AddressesOf(const std::vector<Tensor>& arrays, const Buffers& places) const;
  Variant* Find(const Addresses& addresses);

  // False where the plan is to run without recordings, on what `arrays` held.
  bool RunRecorded(const Plan& plan, std::vector<Tensor>& arrays, Executor& executor);
  // Whether `f` went well; failures are counted.
  template <class F>
  bool Tried(const F& f);
  // Runs the steps as they come, and sees which ones the host has a part in.
  void RunSteps(const Plan& plan, std::vector<Tensor>& arrays, const Buffers& places,
                Executor& executor);
  // The same, recording.
  void Record(const Plan& plan, std::vector<Tensor>& arrays, const Buffers& places,
              Executor& executor, Variant& variant);
  void RunParts(const Plan& plan, Executor& executor, Variant& variant) const;
  void StageFresh(const Plan& plan, std::vector<Tensor>& arrays, Stream& stream);

  const std::vector<int> fresh_;
  std::vector<Tensor> staged_;              // by index of fresh_
  std::vector<int> placed_;                 // of what is kept: what a step makes
  std::vector<std::array<Home, 2>> homes_;  // by index of placed_
  std::vector<bool> on_host_;               // by step
  std::list<Variant> variants_;             // the last used first
  int failures_ = 0;
  int64_t replayed_ = 0;
};

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_REPLAY_H_
