#include "exec/plan.h"

#include <algorithm>

namespace gradwire {

PlanBuilder::PlanBuilder(const Schedule& schedule, DeviceType device) {
  plan_.steps.reserve(schedule.size());
  for (const NodePtr& node : schedule) {
    PlanStep step;
    step.op = &node->op();
    step.kernel = KernelOn(node->op(), device);
    step.attributes = node->attributes();
    step.origin = node->origin();
    for (const Value& input : node->inputs()) {
      step.inputs.push_back(input ? NumberOf(input.slot()) : kNoArray);
    }
    for (size_t i = 0; i < node->num_outputs(); ++i) {
      const SlotPtr& slot = node->output_slot(static_cast<int>(i));
      step.specs.push_back(slot->spec);
      step.outputs.push_back(NumberOf(slot));
      made_[static_cast<size_t>(step.outputs.back())] = true;
    }
    plan_.steps.push_back(std::move(step));
  }
}

int PlanBuilder::NumberOf(const SlotPtr& slot) {
  const auto [entry, is_new] = numbers_.try_emplace(slot.get(), static_cast<int>(slots_.size()));
  if (is_new) {
    slots_.push_back(slot);
    plan_.specs.push_back(slot->spec);
    made_.push_back(false);
    kept_.push_back(false);
  }
  return entry->second;
}

int PlanBuilder::Keep(const SlotPtr& slot) {
  const int number = NumberOf(slot);
  kept_[static_cast<size_t>(number)] = true;
  return number;
}

std::vector<std::pair<SlotPtr, int>> PlanBuilder::Given() const {
  std::vector<std::pair<SlotPtr, int>> given;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!made_[i]) given.emplace_back(slots_[i], static_cast<int>(i));
  }
  return given;
}

Plan PlanBuilder::Build() {
  for (size_t i = 0; i < kept_.size(); ++i) {
    if (kept_[i]) plan_.kept.push_back(static_cast<int>(i));
  }
  MarkLastUses(plan_);
  return std::move(plan_);
}

void MarkLastUses(Plan& plan) {
  std::vector<bool> wanted(plan.specs.size(), false);
  for (const int array : plan.kept) wanted[static_cast<size_t>(array)] = true;
  for (size_t s = plan.steps.size(); s-- > 0;) {
    PlanStep& step = plan.steps[s];
    for (int& output : step.outputs) {
      if (output != kNoArray && !wanted[static_cast<size_t>(output)]) output = kNoArray;
    }
    step.last_use.assign(step.inputs.size(), false);
    for (size_t i = step.inputs.size(); i-- > 0;) {
      if (step.inputs[i] == kNoArray) continue;
      std::vector<bool>::reference later = wanted[static_cast<size_t>(step.inputs[i])];
      step.last_use[i] = !later;
      later = true;
    }
  }
}

std::vector<int> CountReaders(const Plan& plan) {
  std::vector<int> readers(plan.specs.size(), 0);
  for (const PlanStep& step : plan.steps) {
    for (const int input : step.inputs) {
      if (input != kNoArray) ++readers[static_cast<size_t>(input)];
    }
  }
  for (const int array : plan.kept) ++readers[static_cast<size_t>(array)];
  return readers;
}

Folding SplitConstant(const Plan& plan, const NumberedTensors& constants) {
  Folding folding;
  folding.constant.specs = folding.rest.specs = plan.specs;
  folding.rest.kept = plan.kept;
  std::vector<bool> constant(plan.specs.size()), needed(constant.size());
  for (const auto& [number, tensor] : constants) constant[static_cast<size_t>(number)] = true;
  for (const PlanStep& step : plan.steps) {
    const bool folds = std::all_of(step.inputs.begin(), step.inputs.end(), [&](int input) {
      return input == kNoArray || constant[static_cast<size_t>(input)];
    });
    if (!folds) {
      folding.rest.steps.push_back(step);
      for (const int input : step.inputs) {
        if (input != kNoArray) needed[static_cast<size_t>(input)] = true;
      }
      continue;
    }
    PlanStep& folded = folding.constant.steps.emplace_back(step);
    std::fill(folded.last_use.begin(), folded.last_use.end(), false);
    for (size_t i = 0; i < step.outputs.size(); ++i) {
      if (step.outputs[i] == kNoArray) continue;
      constant[static_cast<size_t>(step.outputs[i])] = true;
      folding.bytes += step.specs[i].bytes();
    }
  }
  for (const int number : plan.kept) needed[static_cast<size_t>(number)] = true;
  for (size_t i = 0; i < constant.size(); ++i) {
    if (constant[i] && needed[i]) folding.needed.push_back(static_cast<int>(i));
  }
  return folding;
}

}  // namespace gradwire
