#include "exec/relayout.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "graph/channels_last.h"

namespace gradwire {
namespace {

constexpr int kMinImageRank = 3;

// [N, C, ...] and [N, ..., C] are the same sequence of elements.
bool IsSameEitherWay(const Dims& dims) {
  return dims[1] == 1 ||
         std::all_of(dims.begin() + 2, dims.end(), [](int64_t d) { return d == 1; });
}

// Walks the steps in order. An array is there as the plan has it, with its channels last under
// another number (its twin), or as both: what is missing is made where it is asked for.
class Relayout {
 public:
  explicit Relayout(const Plan& plan)
      : plan_(plan), twin_(plan.specs.size(), kNoArray), usual_(plan.specs.size(), true) {
    result_.specs = plan.specs;
    result_.kept = plan.kept;
    result_.steps.reserve(plan.steps.size());
  }

  Plan Run() && {
    for (const PlanStep& step : plan_.steps) {
      origin_ = &step.origin;
      if (IsForImages(step)) {
        AddForm(step);
      } else if (IsElementwiseOnTwins(step)) {
        AddElementwise(step);
      } else {
        AddAsIs(step);
      }
    }
    for (const int array : plan_.kept) RequireUsual(array);
    MarkLastUses(result_);
    return std::move(result_);
  }

 private:
  const Dims& DimsOf(int array) const { return plan_.specs[static_cast<size_t>(array)].dims; }
  int& Twin(int array) { return twin_[static_cast<size_t>(array)]; }
  std::vector<bool>::reference IsUsual(int array) { return usual_[static_cast<size_t>(array)]; }

  // Whether the operator is to be run in its form for images.
  bool IsForImages(const PlanStep& step) {
    const ChannelsLast* form = step.op->channels_last;
    if (form == nullptr || step.kernel != step.op->cpu) return false;
    Specs inputs;
    bool only_twins = false;
    size_t rank = 0;
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      const int input = step.inputs[i];
      inputs.push_back(input == kNoArray ? TensorSpec{} : plan_.specs[static_cast<size_t>(input)]);
      if (!form->IsImage(i)) continue;
      if (input == kNoArray) return false;
      if (rank == 0) rank = inputs[i].dims.size();
      if (rank != inputs[i].dims.size() || rank < kMinImageRank) return false;
      only_twins = only_twins || !IsUsual(input);
    }
    if (!only_twins && !form->worthwhile) return false;
    return form->suits == nullptr || form->suits(inputs, step.specs, step.attributes);
  }

  // Whether it is an elementwise operator, or gives its input another name, and some input is there
  // as a twin only.
  bool IsElementwiseOnTwins(const PlanStep& step) {
    const Dims& dims = step.specs[0].dims;
    if (step.kernel != step.op->cpu || dims.size() < kMinImageRank) return false;
    if (step.op->alias) {
      return step.inputs.size() == 1 && DimsOf(step.inputs[0]) == dims &&
             !IsUsual(step.inputs[0]) &&
             BitWidth(plan_.specs[static_cast<size_t>(step.inputs[0])].dtype) ==
                 BitWidth(step.specs[0].dtype);
    }
    if (step.op->loop == nullptr) return false;
    return std::any_of(step.inputs.begin(), step.inputs.end(), [&](int input) {
      return input != kNoArray && DimsOf(input) == dims && !IsUsual(input);
    });
  }

  void AddAsIs(const PlanStep& step) {
    for (const int input : step.inputs) {
      if (input != kNoArray) RequireUsual(input);
    }
    result_.steps.push_back(step);
  }

  void AddForm(const PlanStep& step) {
    const ChannelsLast& form = *step.op->channels_last;
    PlanStep last = step;
    const size_t rank = DimsOf(FirstImage(step, form)).size();
    if (form.cpu != nullptr) last.kernel = form.cpu;
    if (form.attributes != nullptr) {
      last.attributes = form.attributes(step.attributes, static_cast<int>(rank));
    }
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      if (step.inputs[i] == kNoArray) continue;
      if (form.IsImage(i)) {
        last.inputs[i] = RequireTwin(step.inputs[i]);
      } else {
        RequireUsual(step.inputs[i]);
      }
    }
    if (form.makes_images) MakeTwins(last, rank);
    result_.steps.push_back(std::move(last));
  }

  static int FirstImage(const PlanStep& step, const ChannelsLast& form) {
    size_t i = 0;
    while (!form.IsImage(i)) ++i;
    return step.inputs[i];
  }

  void AddElementwise(const PlanStep& step) {
    PlanStep last = step;
    const size_t rank = step.specs[0].dims.size();
    for (int& input : last.inputs) {
      if (input != kNoArray) input = RequireOperand(input, rank);
    }
    MakeTwins(last, rank);
    result_.steps.push_back(std::move(last));
  }

  // The outputs that are images of this rank come to be twins.
  void MakeTwins(PlanStep& step, size_t rank) {
    for (size_t i = 0; i < step.specs.size(); ++i) {
      TensorSpec& spec = step.specs[i];
      if (spec.dims.size() != rank) continue;
      spec.dims = WithChannelsLast(spec.dims);
      const int output = step.outputs[i];
      if (output == kNoArray) continue;
      IsUsual(output) = false;
      step.outputs[i] = Twin(output) = NewArray(spec);
    }
  }

  int NewArray(const TensorSpec& spec) {
    result_.specs.push_back(spec);
    return static_cast<int>(result_.specs.size()) - 1;
  }

  void RequireUsual(int array) {
    if (IsUsual(array)) return;
    const Dims& dims = DimsOf(array);
    std::vector<int64_t> back(dims.size());
    std::iota(back.begin(), back.end(), -1);
    back[0] = 0;
    back[1] = static_cast<int64_t>(dims.size()) - 1;
    Move(Twin(array), array, IsSameEitherWay(dims), std::move(back));
    IsUsual(array) = true;
  }

  int RequireTwin(int array) {
    int& twin = Twin(array);
    if (twin == kNoArray) {
      TensorSpec spec = plan_.specs[static_cast<size_t>(array)];
      spec.dims = WithChannelsLast(spec.dims);
      twin = NewArray(spec);
      Move(array, twin, IsSameEitherWay(DimsOf(array)), ToLast(spec.dims.size()));
    }
    return twin;
  }

  // An array that broadcasts against images of this rank.
  int RequireOperand(int array, size_t rank) {
    const TensorSpec& spec = plan_.specs[static_cast<size_t>(array)];
    if (spec.dims.size() == rank) return RequireTwin(array);
    RequireUsual(array);
    if (spec.numel() == 1) return array;
    TensorSpec whole = spec;
    whole.dims.insert(whole.dims.begin(), rank - whole.dims.size(), 1);
    TensorSpec last = whole;
    last.dims = WithChannelsLast(whole.dims);
    const int moved = NewArray(last);
    if (IsSameEitherWay(whole.dims)) {
      Move(array, moved, true, {});
      return moved;
    }
    const int view = NewArray(whole);
    Move(array, view, true, {});
    Move(view, moved, false, ToLast(rank));
    return moved;
  }

  static std::vector<int64_t> ToLast(size_t rank) {
    std::vector<int64_t> perm(rank);
    std::iota(perm.begin(), perm.end(), 1);
    perm.front() = 0;
    perm.back() = 1;
    return perm;
  }

  // A step that makes array `to` of `from`: a view of the same elements, or a transposition.
  void Move(int from, int to, bool is_view, std::vector<int64_t> perm) {
    static const OpDef& view = Registry::Global().Latest("Reshape", "gradwire");
    static const OpDef& transpose = Registry::Global().Latest("Transpose");
    PlanStep step;
    step.op = is_view ? &view : &transpose;
    step.kernel = step.op->cpu;
    if (!is_view) step.attributes.Set("perm", std::move(perm));
    step.inputs = {from};
    step.outputs = {to};
    step.specs = {result_.specs[static_cast<size_t>(to)]};
    step.origin = *origin_;
    result_.steps.push_back(std::move(step));
  }

  const Plan& plan_;
  Plan result_;
  std::vector<int> twin_;    // by array; kNoArray: not made
  std::vector<bool> usual_;  // by array: whether it is there as the plan has it
  const Origin* origin_ = nullptr;
};

}  // namespace

Plan PutChannelsLast(const Plan& plan) { return Relayout(plan).Run(); }

}  // namespace gradwire
