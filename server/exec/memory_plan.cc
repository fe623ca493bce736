#include "exec/memory_plan.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "core/error.h"
#include "exec/chain.h"

namespace gradwire {
namespace {

constexpr int64_t kAlignment = 64;

// A block that grows as it must: the smallest hole that fits is taken first.
class Space {
 public:
  int64_t Take(int64_t bytes) {
    const auto hole = by_size_.lower_bound({bytes, 0});
    if (hole == by_size_.end()) return Grow(bytes);
    const auto [size, offset] = *hole;
    Forget(offset);
    if (size > bytes) Remember(offset + bytes, size - bytes);
    return offset;
  }

  void Give(int64_t offset, int64_t bytes) {
    const auto after = holes_.lower_bound(offset);
    if (after != holes_.end() && after->first == offset + bytes) {
      bytes += after->second;
      Forget(after->first);
    }
    const auto next = holes_.lower_bound(offset);
    if (next != holes_.begin()) {
      const auto [start, size] = *std::prev(next);
      if (start + size == offset) {
        Forget(start);
        offset = start;
        bytes += size;
      }
    }
    Remember(offset, bytes);
  }

  int64_t end() const { return end_; }

 private:
  // The hole at the end, if there is one, grows.
  int64_t Grow(int64_t bytes) {
    int64_t offset = end_;
    if (!holes_.empty()) {
      const auto [start, size] = *holes_.rbegin();
      if (start + size == end_) {
        Forget(start);
        offset = start;
      }
    }
    end_ = offset + bytes;
    return offset;
  }
  void Remember(int64_t offset, int64_t bytes) {
    holes_.emplace(offset, bytes);
    by_size_.emplace(bytes, offset);
  }
  void Forget(int64_t offset) {
    const auto hole = holes_.find(offset);
    by_size_.erase({hole->second, offset});
    holes_.erase(hole);
  }

  std::map<int64_t, int64_t> holes_;               // bytes by offset
  std::set<std::pair<int64_t, int64_t>> by_size_;  // (bytes, offset)
  int64_t end_ = 0;
};

// Arrays that share memory: views, and outputs that take over what an input has.
struct Storage {
  int64_t bytes = 0;
  int first = kNoArray;  // the array that it is made for
  int living = 0;        // arrays that are still to be read
  bool own = false;      // memory of its own
  size_t from = 0;       // the step that makes it
  size_t to = 0;         // the last that reads it
};

// Walks the steps and says which storage each array has: -1 where no step makes it.
class Survey {
 public:
  explicit Survey(const Plan& plan) : plan_(plan), storage_of_(plan.specs.size(), -1) {
    for (step_ = 0; step_ < plan.steps.size(); ++step_) {
      const PlanStep& step = plan.steps[step_];
      for (size_t i = 0; i < step.outputs.size(); ++i) Make(step, i);
      for (size_t i = 0; i < step.inputs.size(); ++i) {
        if (step.inputs[i] != kNoArray && step.last_use[i]) End(step.inputs[i]);
      }
    }
    for (const int array : plan.kept) {
      if (storage_of(array) >= 0) StorageOf(array).own = true;
    }
  }

  std::vector<Storage> storages() && { return std::move(storages_); }
  int storage_of(int array) const { return storage_of_[static_cast<size_t>(array)]; }

 private:
  Storage& StorageOf(int array) { return storages_[static_cast<size_t>(storage_of(array))]; }

  void Make(const PlanStep& step, size_t i) {
    const int output = step.outputs[i];
    if (output == kNoArray) return;
    const int source = step.op->alias ? step.inputs[i] : DonorOf(step, i);
    int& storage = storage_of_[static_cast<size_t>(output)];
    if (source != kNoArray) {
      storage = storage_of(source);
    } else if (!step.op->alias) {
      storage = static_cast<int>(storages_.size());
      const TensorSpec& spec = step.specs[i];
      storages_.push_back({.bytes = (spec.bytes() / kAlignment + 1) * kAlignment,
                           .first = output,
                           .own = spec.dtype == DType::kString,
                           .from = step_});
    }
    if (storage >= 0) ++StorageOf(output).living;
  }

  void End(int array) {
    if (storage_of(array) < 0) return;
    --StorageOf(array).living;
    StorageOf(array).to = step_;
  }

  // The input whose memory the run gives to output i; kNoArray where there is none.
  int DonorOf(const PlanStep& step, size_t i) {
    for (const size_t k : DonorsFor(step, i)) {
      const int input = step.inputs[k];
      const bool once = std::count(step.inputs.begin(), step.inputs.end(), input) == 1;
      if (once && step.last_use[k] && storage_of(input) >= 0 && StorageOf(input).living == 1) {
        return input;
      }
    }
    return kNoArray;
  }

  absl::InlinedVector<size_t, 4> DonorsFor(const PlanStep& step, size_t i) const {
    absl::InlinedVector<size_t, 4> donors;
    if (step.chain != nullptr) {
      donors.assign(step.chain->donors[i].begin(), step.chain->donors[i].end());
    } else if (i == 0 && step.by_sample == nullptr) {
      for (size_t k = 0; k < step.inputs.size(); ++k) {
        if (step.inputs[k] == kNoArray) continue;
        const TensorSpec& spec = plan_.specs[static_cast<size_t>(step.inputs[k])];
        if (MayDonate(*step.op, spec, step.specs[0])) donors.push_back(k);
      }
    }
    return donors;
  }

  const Plan& plan_;
  std::vector<int> storage_of_;
  std::vector<Storage> storages_;
  size_t step_ = 0;
};

}  // namespace

MemoryPlan::MemoryPlan(const Plan& plan)
    : offsets_(plan.specs.size(), kNowhere), storages_(plan.specs.size(), -1) {
  Survey survey(plan);
  for (size_t i = 0; i < storages_.size(); ++i) {
    storages_[i] = survey.storage_of(static_cast<int>(i));
  }
  const std::vector<Storage> storages = std::move(survey).storages();
  for (int& storage : storages_) {
    if (storage >= 0 && storages[static_cast<size_t>(storage)].own) storage = -1;
  }
  std::vector<std::vector<const Storage*>> ends(plan.steps.size());
  for (const Storage& storage : storages) {
    if (!storage.own) ends[std::max(storage.from, storage.to)].push_back(&storage);
  }
  Space space;
  size_t made = 0;
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    for (; made < storages.size() && storages[made].from == s; ++made) {
      const Storage& storage = storages[made];
      if (storage.own) continue;
      offsets_[static_cast<size_t>(storage.first)] = space.Take(storage.bytes);
    }
    for (const Storage* storage : ends[s]) {
      space.Give(offsets_[static_cast<size_t>(storage->first)], storage->bytes);
    }
  }
  bytes_ = space.end();
}

PlannedPlaces::PlannedPlaces(const MemoryPlan& plan, Stream& stream) : plan_(plan) {
  try {
    block_ = stream.Allocate(static_cast<size_t>(plan.bytes()));
  } catch (const Error&) {
    block_ = nullptr;  // a run that lets each array go as early as it can may have room
  }
}

BufferPtr PlannedPlaces::Of(int array, size_t bytes) {
  const int64_t offset = block_ == nullptr ? MemoryPlan::kNowhere : plan_.offset(array);
  if (offset == MemoryPlan::kNowhere) return nullptr;
  return PartOf(block_, static_cast<size_t>(offset), bytes);
}

bool PlannedPlaces::MayTakeOver(int from, int to) const {
  return block_ == nullptr || plan_.MayTakeOver(from, to);
}

}  // namespace gradwire
