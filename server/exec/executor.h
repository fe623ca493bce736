// Runs what a trace asked for, on one session's stream.
#ifndef GRADWIRE_EXEC_EXECUTOR_H_
#define GRADWIRE_EXEC_EXECUTOR_H_

#include <functional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "exec/plan.h"
#include "exec/profile.h"
#include "graph/trace.h"

namespace gradwire {

// An array that no one else holds is freed, or reused for an output, as soon as its last reader has
// run.
class Executor : public Evaluator {
 public:
  // `between_ops` is called before each operator and throws to stop: CANCELLED, DEADLINE_EXCEEDED.
  Executor(Stream& stream, std::function<void()> between_ops)
      : stream_(stream), between_ops_(std::move(between_ops)) {}

  Stream& stream() { return stream_; }

  // Makes each value ready. On an error some may be, and the graph is only good for being dropped.
  void Evaluate(std::span<const Value> values) override;
  void Poll() override { between_ops_(); }

  // Runs a plan. `arrays`, by number, holds what no step makes, and afterwards what was kept.
  void Run(const Plan& plan, std::vector<Tensor>& arrays);

  // Runs the steps that read nothing but `constants` and what such steps make, and takes them out
  // of the plan: what the others read of it comes to the constants. Nothing where these would take
  // too much memory.
  NumberedTensors Fold(Plan& plan, NumberedTensors constants);

  // Records each operator that Evaluate runs from now on. `profile` outlives the executor.
  void set_profile(Profile* profile) { profile_ = profile; }

 private:
  void Run(Node& node);

  Stream& stream_;
  const std::function<void()> between_ops_;
  Profile* profile_ = nullptr;
};

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_EXECUTOR_H_
