// What is left of a traced graph when it is to run again, with other arrays of the same specs:
// operator calls on numbered arrays, with no name, no shape and no derivative left to look up.
#ifndef GRADWIRE_EXEC_PLAN_H_
#define GRADWIRE_EXEC_PLAN_H_

#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "exec/schedule.h"
#include "graph/op.h"

namespace gradwire {

struct BySample;   // exec/by_sample.h
struct Chain;      // exec/chain.h
class MemoryPlan;  // exec/memory_plan.h
namespace onednn {
class Packed;  // backend/cpu/dnnl.h
}

// Numbers of arrays. Those that no step makes are given to Executor::Run.
inline constexpr int kNoArray = -1;

// An operator's call, or those of a chain.
struct PlanStep {
  const OpDef* op = nullptr;  // the chain's first
  Kernel kernel = nullptr;    // null for an alias, and for what is left to the host
  std::shared_ptr<const Chain> chain;
  std::shared_ptr<BySample> by_sample;  // steps that go sample by sample; `op` is one of theirs
  Attributes attributes;
  absl::InlinedVector<int, 3> inputs;  // kNoArray where one was left out
  // Whether the step is the last that reads the input's array, and nobody wants it afterwards.
  absl::InlinedVector<bool, 3> last_use;
  Specs specs;                          // of the outputs
  absl::InlinedVector<int, 1> outputs;  // kNoArray where nobody reads it
  Origin origin;
  // What the kernel keeps of a constant input (OpDef::packs), from the first run on; null where the
  // input is not one. Not const as the rest of a plan: runs of a plan do not overlap.
  std::shared_ptr<onednn::Packed> packed;
};

// How plans are made faster, each for itself.
struct PlanOptions {
  // Products do what comes after them, elementwise operators run as chains: exec/epilogue.h,
  // exec/fusion.h; Relu after maxima: exec/postpone.h
  bool fuse = true;
  bool channels_last = true;  // images lie as convolutions like them: exec/relayout.h
  bool winograd = true;       // convolutions of constant filters multiply less: ops/winograd.h
  bool record = true;         // work is recorded where the device can: exec/replay.h
  bool absorb = true;         // convolutions scale and shift by constants: exec/absorb.h
  bool by_sample = true;      // each thread computes images of its own: exec/by_sample.h
  bool memory = true;         // arrays lie in one block, on a CPU: exec/memory_plan.h
};

using NumberedTensors = std::vector<std::pair<int, Tensor>>;

struct Plan {
  std::vector<PlanStep> steps;
  std::vector<TensorSpec> specs;  // by number
  std::vector<int> kept;          // arrays that are wanted afterwards
  // Null where arrays are put wherever there is memory.
  std::shared_ptr<const MemoryPlan> memory;
};

// Says anew which steps are the last to read an array, and which outputs nobody reads.
void MarkLastUses(Plan& plan);

// How many steps read each array; one more where it is kept.
std::vector<int> CountReaders(const Plan& plan);

// A plan in two: steps that depend on constants only, and the rest.
struct Folding {
  Plan constant;
  Plan rest;
  int64_t bytes = 0;        // of what `constant` makes
  std::vector<int> needed;  // the constants that `rest` reads, and those that are kept
};
Folding SplitConstant(const Plan& plan, const NumberedTensors& constants);

// A plan under construction: arrays are known by their slots.
class PlanBuilder {
 public:
  // Takes the nodes of a schedule that has not run, for `device`.
  PlanBuilder(const Schedule& schedule, DeviceType device);

  // The number of a slot's array, a new one where the plan has none.
  int NumberOf(const SlotPtr& slot);
  // Keeps the array to the end.
  int Keep(const SlotPtr& slot);
  // Arrays that no step makes.
  std::vector<std::pair<SlotPtr, int>> Given() const;
  // Ends the construction. Steps whose results nobody reads were not in the schedule.
  Plan Build();

 private:
  Plan plan_;
  absl::flat_hash_map<const Slot*, int> numbers_;
  std::vector<SlotPtr> slots_;  // by number
  std::vector<bool> made_, kept_;
};

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_PLAN_H_
