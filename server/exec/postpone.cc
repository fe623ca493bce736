#include "exec/postpone.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "ops/window.h"

namespace gradwire {
namespace {

bool Is(const PlanStep& step, std::string_view domain, std::string_view name) {
  return step.op->domain == domain && step.op->name == name && step.kernel == step.op->cpu;
}

bool IsRelu(const PlanStep& step) { return Is(step, "", "Relu") && step.outputs[0] != kNoArray; }

// Relu of nothing at all, which a maximum over padding is, would be 0.
bool EachWindowMeetsTheInput(const PlanStep& pool, const Dims& in) {
  const std::vector<int64_t>& kernel = pool.attributes.Ints("kernel_shape");
  const Window window = CanonicalWindow(pool.attributes, Dims(kernel.begin(), kernel.end()));
  const Geometry g(window, SpatialDims(in), SpatialDims(pool.specs[0].dims));
  for (size_t axis = 0; axis < 3; ++axis) {
    std::vector<bool> met(static_cast<size_t>(g.out[axis]), false);
    for (int64_t tap = 0; tap < g.kernel[axis]; ++tap) {
      const auto [first, last] = g.Inside(axis, tap);
      for (int64_t o = first; o < last; ++o) met[static_cast<size_t>(o)] = true;
    }
    if (std::find(met.begin(), met.end(), false) != met.end()) return false;
  }
  return true;
}

class Postponing {
 public:
  explicit Postponing(Plan plan)
      : plan_(std::move(plan)),
        readers_(CountReaders(plan_)),
        relu_(plan_.specs.size(), nullptr),
        postponed_(plan_.specs.size(), false),
        source_(plan_.specs.size(), kNoArray) {
    for (const PlanStep& step : plan_.steps) {
      if (IsRelu(step)) {
        Relu(step.outputs[0]) = &step;
      } else if (Takes(step)) {
        Relu(step.outputs[0]) = Relu(step.inputs[0]);
        for (const int input : step.inputs) postponed_[static_cast<size_t>(input)] = true;
      }
    }
  }

  Plan Run() && {
    std::vector<PlanStep> steps;
    for (const PlanStep& step : plan_.steps) {
      const int output = step.outputs[0];
      const bool is_relu = IsRelu(step);
      if (!is_relu && !IsPostponed(step.inputs)) {
        steps.push_back(step);
        continue;
      }
      PlanStep relu = *Relu(output);
      relu.specs = step.specs;
      relu.inputs = step.inputs;
      relu.outputs = {output};
      if (!is_relu) {
        PlanStep& on_sources = steps.emplace_back(step);
        for (int& input : on_sources.inputs) input = source_[static_cast<size_t>(input)];
        on_sources.outputs[0] = NewArray(step.specs[0]);
        relu.inputs = {on_sources.outputs[0]};
      }
      if (postponed_[static_cast<size_t>(output)]) {
        source_[static_cast<size_t>(output)] = relu.inputs[0];
      } else {
        steps.push_back(std::move(relu));
      }
    }
    plan_.steps = std::move(steps);
    MarkLastUses(plan_);
    return std::move(plan_);
  }

 private:
  // The step that makes it, or made what it is a part or maximum of; null: it is no such thing.
  const PlanStep*& Relu(int array) { return relu_[static_cast<size_t>(array)]; }

  // Whether all that the step reads are results of Relu that nobody else reads, and its own is Relu
  // of what it gives without.
  bool Takes(const PlanStep& step) {
    const bool is_pool = Is(step, "gradwire", "MaxPool") && step.outputs.size() == 1;
    if ((!is_pool && !Is(step, "", "Concat")) || step.outputs[0] == kNoArray) return false;
    const bool fits = std::all_of(step.inputs.begin(), step.inputs.end(), [&](int input) {
      return input != kNoArray && Relu(input) != nullptr &&
             readers_[static_cast<size_t>(input)] == 1;
    });
    return fits && (!is_pool || EachWindowMeetsTheInput(
                                    step, plan_.specs[static_cast<size_t>(step.inputs[0])].dims));
  }

  bool IsPostponed(std::span<const int> inputs) const {
    return !inputs.empty() && inputs[0] != kNoArray && postponed_[static_cast<size_t>(inputs[0])];
  }

  int NewArray(const TensorSpec& spec) {
    plan_.specs.push_back(spec);
    return static_cast<int>(plan_.specs.size()) - 1;
  }

  Plan plan_;
  const std::vector<int> readers_;
  std::vector<const PlanStep*> relu_;  // by array
  std::vector<bool> postponed_;        // by array: the only one to read it is a step that Takes
  std::vector<int> source_;            // by array that is postponed: what Relu is to be of
};

}  // namespace

Plan PostponeRelu(Plan plan) { return Postponing(std::move(plan)).Run(); }

}  // namespace gradwire
