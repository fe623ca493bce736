#include "exec/fusion.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "exec/chain.h"

namespace gradwire {
namespace {

// Bounds how long a chain runs without being stopped, and the scratch that it needs.
constexpr size_t kMaxLinks = 64;

using Group = std::vector<const PlanStep*>;

// Null where the step is not to be part of a chain. Elements that lie within bytes, or refer
// elsewhere, are for kernels.
Loop LoopOfStep(const Plan& plan, const PlanStep& step) {
  if (step.op->loop == nullptr || step.kernel != step.op->cpu) return {};
  const auto is_plain = [](const TensorSpec& spec) {
    const int bits = BitWidth(spec.dtype);
    return bits % 8 == 0 && bits <= 64;
  };
  bool plain = is_plain(step.specs[0]);
  for (const int input : step.inputs) {
    plain = plain && (input == kNoArray || is_plain(plan.specs[static_cast<size_t>(input)]));
  }
  if (!plain) return {};
  const TensorSpec& first = plan.specs[static_cast<size_t>(step.inputs[0])];
  return step.op->loop(first.dtype, step.specs[0].dtype);
}

// Puts each step into a group, which runs where its first step stood: later steps move up, past
// elementwise steps and views only. A step from further away would make an array too early: what a
// checkpoint computes again, say.
class Grouping {
 public:
  explicit Grouping(const Plan& plan) : plan_(plan), made_in_(plan.specs.size(), -1) {
    for (const PlanStep& step : plan.steps) Place(step);
  }

  std::vector<Group> groups() && { return std::move(groups_); }

 private:
  struct Open {
    int group;
    absl::flat_hash_set<int> arrays;  // that it reads or makes
  };

  void Place(const PlanStep& step) {
    if (LoopOfStep(plan_, step).run == nullptr) {
      if (!step.op->alias) open_.clear();
      Append(step);
      return;
    }
    const auto open = open_.find(step.specs[0].dims);
    if (open != open_.end() && Joins(step, open->second)) {
      groups_[static_cast<size_t>(open->second.group)].push_back(&step);
      Note(step, open->second);
      return;
    }
    Append(step);
    Open& fresh = open_[step.specs[0].dims];
    fresh = {static_cast<int>(groups_.size()) - 1, {}};
    Note(step, fresh);
  }

  void Append(const PlanStep& step) {
    groups_.push_back({&step});
    for (const int output : step.outputs) Made(output, static_cast<int>(groups_.size()) - 1);
  }

  void Made(int array, int group) {
    if (array != kNoArray) made_in_[static_cast<size_t>(array)] = group;
  }

  bool Joins(const PlanStep& step, const Open& open) const {
    if (groups_[static_cast<size_t>(open.group)].size() >= kMaxLinks) return false;
    bool shares = false;
    for (const int input : step.inputs) {
      if (input == kNoArray) continue;
      if (made_in_[static_cast<size_t>(input)] > open.group) return false;
      shares = shares || open.arrays.contains(input);
    }
    return shares;
  }

  void Note(const PlanStep& step, Open& open) {
    for (const int input : step.inputs) {
      if (input != kNoArray) open.arrays.insert(input);
    }
    for (const int output : step.outputs) {
      if (output == kNoArray) continue;
      open.arrays.insert(output);
      Made(output, open.group);
    }
  }

  const Plan& plan_;
  std::vector<int> made_in_;  // group by array; -1: given
  std::vector<Group> groups_;
  absl::flat_hash_map<Dims, Open> open_;  // the group of a shape that may still grow
};

// One step of a group of several.
class ChainBuilder {
 public:
  ChainBuilder(const Plan& plan, const Group& group, const std::vector<int>& readers)
      : plan_(plan), group_(group) {
    step_.op = group[0]->op;
    step_.origin = group[0]->origin;
    Survey(readers);
    chain_.inputs = step_.inputs.size();
    chain_.outputs = step_.outputs.size();
    chain_.numel = group[0]->specs[0].numel();
    for (size_t i = 0; i < group.size(); ++i) AddLink(i);
    FindDonors();
  }

  PlanStep Build() && {
    step_.chain = std::make_shared<const Chain>(std::move(chain_));
    return std::move(step_);
  }

 private:
  // Finds what comes in and what goes out.
  void Survey(const std::vector<int>& readers) {
    absl::flat_hash_set<int> made;
    absl::flat_hash_map<int, int> read_here;
    for (size_t i = 0; i < group_.size(); ++i) {
      for (const int input : group_[i]->inputs) {
        if (input == kNoArray) continue;
        last_read_[input] = i;
        ++read_here[input];
        if (made.contains(input) || number_of_.contains(input)) continue;
        step_.inputs.push_back(input);
        Number(input);
      }
      made.insert(group_[i]->outputs[0]);
    }
    for (const PlanStep* step : group_) {
      const int output = step->outputs[0];
      if (readers[static_cast<size_t>(output)] == read_here[output]) continue;
      step_.outputs.push_back(output);
      step_.specs.push_back(step->specs[0]);
      Number(output);
    }
  }

  int Number(int array) {
    const auto number = static_cast<int>(chain_.widths.size());
    number_of_[array] = number;
    chain_.widths.push_back(Width(array));
    return number;
  }

  int64_t Width(int array) const {
    return BitWidth(plan_.specs[static_cast<size_t>(array)].dtype) / 8;
  }

  void AddLink(size_t i) {
    const PlanStep& step = *group_[i];
    std::array<const Dims*, kMaxLoopInputs> dims{};
    absl::InlinedVector<int, kMaxLoopInputs> operands;
    for (size_t k = 0; k < step.inputs.size(); ++k) {
      const int input = step.inputs[k];
      operands.push_back(input == kNoArray ? -1 : number_of_.at(input));
      if (input != kNoArray) dims[k] = &plan_.specs[static_cast<size_t>(input)].dims;
    }
    ReleaseScratch(step, i);
    const int output = step.outputs[0];
    if (!number_of_.contains(output)) TakeScratch(output);
    chain_.links.push_back({.loop = LoopOfStep(plan_, step),
                            .attributes = step.attributes,
                            .operands = operands,
                            .result = number_of_.at(output),
                            .walk = LoopWalk(step.specs[0].dims, dims)});
    written_[output] = i;
    const auto known = std::find_if(chain_.ops.begin(), chain_.ops.end(),
                                    [&](const auto& entry) { return entry.first == step.op; });
    if (known != chain_.ops.end()) {
      ++known->second;
    } else {
      chain_.ops.emplace_back(step.op, 1);
    }
  }

  bool IsScratch(int number) const {
    return static_cast<size_t>(number) >= chain_.inputs + chain_.outputs;
  }

  void ReleaseScratch(const PlanStep& step, size_t i) {
    for (const int input : step.inputs) {
      if (input == kNoArray || last_read_.at(input) != i) continue;
      const int number = number_of_.at(input);
      if (IsScratch(number) && std::find(free_.begin(), free_.end(), number) == free_.end()) {
        free_.push_back(number);
      }
    }
  }

  // A place of the same width that no later link reads, or a new one.
  void TakeScratch(int output) {
    const auto found = std::find_if(free_.begin(), free_.end(), [&](int number) {
      return chain_.widths[static_cast<size_t>(number)] == Width(output);
    });
    if (found == free_.end()) {
      Number(output);
      return;
    }
    number_of_[output] = *found;
    free_.erase(found);
  }

  void FindDonors() {
    for (const int output : step_.outputs) {
      std::vector<size_t>& donors = chain_.donors.emplace_back();
      for (size_t i = 0; i < step_.inputs.size(); ++i) {
        const int input = step_.inputs[i];
        const TensorSpec& spec = plan_.specs[static_cast<size_t>(input)];
        const bool fits = spec.dims == plan_.specs[static_cast<size_t>(output)].dims &&
                          Width(input) == Width(output);
        if (fits && last_read_.at(input) <= written_.at(output)) donors.push_back(i);
      }
    }
  }

  const Plan& plan_;
  const Group& group_;
  PlanStep step_;
  Chain chain_;
  absl::flat_hash_map<int, int> number_of_;     // in the chain, by array
  absl::flat_hash_map<int, size_t> last_read_;  // by which link, by array
  absl::flat_hash_map<int, size_t> written_;
  std::vector<int> free_;  // scratch that no later link reads
};

}  // namespace

Plan Fuse(Plan plan) {
  const std::vector<int> readers = CountReaders(plan);
  std::vector<PlanStep> steps;
  for (const Group& group : Grouping(plan).groups()) {
    if (group.size() == 1) {
      steps.push_back(*group[0]);
    } else {
      steps.push_back(ChainBuilder(plan, group, readers).Build());
    }
  }
  plan.steps = std::move(steps);
  MarkLastUses(plan);
  return plan;
}

}  // namespace gradwire
