#include "exec/relayout.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "graph/channels_last.h"

namespace gradwire {
namespace {

constexpr int kMinImageRank = 3;

// Channels may be several dimensions, as where they are shuffled: the first ones after N.
using Perm = std::vector<int64_t>;

// Puts dimensions [1, 1 + count) of so many last.
Perm ToLast(size_t rank, size_t count) {
  Perm perm(rank);
  std::iota(perm.begin(), perm.end(), 0);
  std::rotate(perm.begin() + 1, perm.begin() + 1 + static_cast<std::ptrdiff_t>(count), perm.end());
  return perm;
}

Dims Permuted(const Dims& dims, const Perm& perm) {
  Dims permuted;
  for (const int64_t axis : perm) permuted.push_back(dims[static_cast<size_t>(axis)]);
  return permuted;
}

// [N, channels..., ...] and [N, ..., channels...] are the same sequence of elements.
bool IsSameEitherWay(const Dims& dims, size_t channels) {
  const auto is_one = [](int64_t d) { return d == 1; };
  const auto middle = dims.begin() + 1 + static_cast<std::ptrdiff_t>(channels);
  return std::all_of(dims.begin() + 1, middle, is_one) || std::all_of(middle, dims.end(), is_one);
}

// Walks the steps in order. An array is there as the plan has it, with its channels last under
// another number (its twin), or as both: what is missing is made where it is asked for.
class Relayout {
 public:
  explicit Relayout(const Plan& plan)
      : plan_(plan),
        twin_(plan.specs.size(), kNoArray),
        channels_(plan.specs.size(), 1),
        usual_(plan.specs.size(), true) {
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
      } else if (const std::optional<size_t> channels = ChannelsAfter(step)) {
        AddOnChannels(step, *channels);
      } else {
        AddAsIs(step);
      }
    }
    for (const int array : plan_.kept) RequireUsual(array);
    MarkLastUses(result_);
    return std::move(result_);
  }

 private:
  const TensorSpec& SpecOf(int array) const { return plan_.specs[static_cast<size_t>(array)]; }
  const Dims& DimsOf(int array) const { return SpecOf(array).dims; }
  int& Twin(int array) { return twin_[static_cast<size_t>(array)]; }
  size_t& Channels(int array) { return channels_[static_cast<size_t>(array)]; }
  std::vector<bool>::reference IsUsual(int array) { return usual_[static_cast<size_t>(array)]; }
  // There as a twin only, that of an image.
  bool IsImageTwin(int array) { return !IsUsual(array) && Channels(array) == 1; }

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
      only_twins = only_twins || IsImageTwin(input);
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
             IsImageTwin(step.inputs[0]) &&
             BitWidth(plan_.specs[static_cast<size_t>(step.inputs[0])].dtype) ==
                 BitWidth(step.specs[0].dtype);
    }
    if (step.op->loop == nullptr) return false;
    return std::any_of(step.inputs.begin(), step.inputs.end(), [&](int input) {
      return input != kNoArray && DimsOf(input) == dims && IsImageTwin(input);
    });
  }

  // How many dimensions the output's channels are, of an operator that only divides or joins those
  // of an array that is there as a twin only, or puts them in another order; nothing of others.
  std::optional<size_t> ChannelsAfter(const PlanStep& step) {
    const int input = step.inputs.empty() ? kNoArray : step.inputs[0];
    if (input == kNoArray || IsUsual(input) || step.inputs.size() != 1) return std::nullopt;
    const Dims& in = DimsOf(input);
    const Dims& out = step.specs[0].dims;
    const size_t channels = Channels(input);
    const size_t spatial = in.size() - 1 - channels;
    if (step.op->alias) {
      const bool regroups = out.size() >= spatial + 2 && out[0] == in[0] &&
                            step.specs[0].dtype == SpecOf(input).dtype &&
                            std::equal(in.end() - static_cast<std::ptrdiff_t>(spatial), in.end(),
                                       out.end() - static_cast<std::ptrdiff_t>(spatial));
      return regroups ? std::optional(out.size() - 1 - spatial) : std::nullopt;
    }
    if (step.op->name != "Transpose" || !step.attributes.Has("perm")) return std::nullopt;
    const Perm& perm = step.attributes.Ints("perm");
    for (size_t d = 0; d < perm.size(); ++d) {
      const bool moves = perm[d] != static_cast<int64_t>(d);
      if (moves && (d == 0 || d > channels)) return std::nullopt;
    }
    return channels;
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

  void AddOnChannels(const PlanStep& step, size_t channels) {
    PlanStep last = step;
    const int input = step.inputs[0];
    const size_t spatial = DimsOf(input).size() - 1 - Channels(input);
    if (!step.op->alias) {
      Perm perm = step.attributes.Ints("perm");
      std::rotate(perm.begin() + 1, perm.begin() + 1 + static_cast<std::ptrdiff_t>(channels),
                  perm.end());
      for (size_t d = 1; d < perm.size(); ++d) {
        perm[d] = d <= spatial ? static_cast<int64_t>(d) : perm[d] + static_cast<int64_t>(spatial);
      }
      last.attributes.Set("perm", std::move(perm));
    }
    last.inputs[0] = Twin(input);
    last.specs[0].dims = Permuted(step.specs[0].dims, ToLast(step.specs[0].dims.size(), channels));
    const int output = step.outputs[0];
    if (output != kNoArray) {
      IsUsual(output) = false;
      Channels(output) = channels;
      last.outputs[0] = Twin(output) = NewArray(last.specs[0]);
    }
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
    const size_t channels = Channels(array);
    Move(Twin(array), array, IsSameEitherWay(dims, channels),
         ToLast(dims.size(), dims.size() - 1 - channels));
    IsUsual(array) = true;
  }

  // That of an image.
  int RequireTwin(int array) {
    int& twin = Twin(array);
    if (twin == kNoArray || Channels(array) != 1) {
      RequireUsual(array);
      Channels(array) = 1;
      TensorSpec spec = plan_.specs[static_cast<size_t>(array)];
      spec.dims = WithChannelsLast(spec.dims);
      twin = NewArray(spec);
      Move(array, twin, IsSameEitherWay(DimsOf(array), 1), ToLast(spec.dims.size(), 1));
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
    if (IsSameEitherWay(whole.dims, 1)) {
      Move(array, moved, true, {});
      return moved;
    }
    const int view = NewArray(whole);
    Move(array, view, true, {});
    Move(view, moved, false, ToLast(rank, 1));
    return moved;
  }

  // A step that makes array `to` of `from`: a view of the same elements, or a transposition.
  void Move(int from, int to, bool is_view, Perm perm) {
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
  std::vector<int> twin_;         // by array; kNoArray: not made
  std::vector<size_t> channels_;  // by array: of how many dimensions its twin's channels are
  std::vector<bool> usual_;       // by array: whether it is there as the plan has it
  const Origin* origin_ = nullptr;
};

}  // namespace

Plan PutChannelsLast(const Plan& plan) { return Relayout(plan).Run(); }

}  // namespace gradwire
