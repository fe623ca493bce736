// What a command reads again and again and nobody changes, as the weights of a model are.
#ifndef GRADWIRE_SESSION_STEADY_READS_H_
#define GRADWIRE_SESSION_STEADY_READS_H_

#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "exec/executor.h"
#include "exec/plan.h"
#include "graph/value.h"

namespace gradwire {

// Lives on the session's strand.
class SteadyReads {
 public:
  // A command's plan with constants instead of arrays of the session.
  struct Improved {
    Plan plan;
    NumberedTensors constants;
    // Those arrays, by index of the command's reads. They are held, so that nobody writes to them.
    std::vector<std::pair<size_t, BufferPtr>> reads;
  };

  // Of a plan as traced, with the constants of its trace. `numbers`: of the command's reads in the
  // plan; kNoArray where the command binds the name anew.
  SteadyReads(Plan traced, NumberedTensors constants, std::vector<int> numbers,
              const PlanOptions& options)
      : traced_({std::move(traced), std::move(constants), {}}),
        numbers_(std::move(numbers)),
        options_(options) {}

  // What to run on these arrays; null: the command's own plan. Arrays that were the same twice are
  // taken for constants. Once one of them changes it is over for good: a plan is made once.
  const Improved* Find(std::span<const Value> reads, Executor& executor);

 private:
  bool Holds(std::span<const Value> reads) const;
  void Watch(std::span<const Value> reads);
  void Make(std::span<const Value> reads, Executor& executor);

  std::optional<Improved> traced_;  // until it is improved, or not worth it
  const std::vector<int> numbers_;
  const PlanOptions options_;
  std::vector<std::weak_ptr<const Buffer>> seen_;  // at the last run, by index of the reads
  std::optional<Improved> improved_;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_STEADY_READS_H_
