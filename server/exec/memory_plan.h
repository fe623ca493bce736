// Where the arrays of a plan lie: in one block, at places that are chosen when the plan is made, so
// that what comes to be lies where something else has just been, and is in the cache.
#ifndef GRADWIRE_EXEC_MEMORY_PLAN_H_
#define GRADWIRE_EXEC_MEMORY_PLAN_H_

#include <cstdint>
#include <vector>

#include "exec/plan.h"
#include "exec/run_step.h"

namespace gradwire {

// Immutable. Of arrays that steps make for other steps; what is kept, what is given, and strings
// have memory of their own.
class MemoryPlan {
 public:
  explicit MemoryPlan(const Plan& plan);

  int64_t bytes() const { return bytes_; }
  // Where in the block; kNowhere where the array has memory of its own, or takes over another's.
  int64_t offset(int array) const { return offsets_[static_cast<size_t>(array)]; }
  // Whether `to` may lie where `from` does, which nobody reads any more: not where the place goes
  // to others. Output `to` may be kNoArray.
  bool MayTakeOver(int from, int to) const {
    if (to == kNoArray) return true;
    const int storage = storages_[static_cast<size_t>(from)];
    return storage < 0 || storage == storages_[static_cast<size_t>(to)];
  }

  static constexpr int64_t kNowhere = -1;

 private:
  int64_t bytes_ = 0;
  std::vector<int64_t> offsets_;  // by array
  std::vector<int> storages_;     // by array; arrays of one lie in the same place, -1: of their own
};

// The places of one run. They live as long as their buffers, with the whole block.
class PlannedPlaces : public Places {
 public:
  // Where there is no room for the block, arrays are put wherever there is memory.
  PlannedPlaces(const MemoryPlan& plan, Stream& stream);

  BufferPtr Of(int array, size_t bytes) override;
  bool MayTakeOver(int from, int to) const override;

 private:
  const MemoryPlan& plan_;
  BufferPtr block_;
};

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_MEMORY_PLAN_H_
