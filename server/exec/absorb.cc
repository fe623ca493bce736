#include "exec/absorb.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace gradwire {
namespace {

constexpr size_t kChannelAxis = 1;

const OpDef& Latest(std::string_view name, std::string_view domain = "") {
  return Registry::Global().Latest(name, domain);
}

// x op c, or c op x where that is the same.
struct Term {
  enum class Op { kAdd, kSub, kMul, kDiv };
  Op op;
  int x;
  int c;
};

std::optional<Term::Op> OpOf(const OpDef& op) {
  static const std::array<std::pair<const OpDef*, Term::Op>, 4> known = {
      {{&Latest("Add"), Term::Op::kAdd},
       {&Latest("Sub"), Term::Op::kSub},
       {&Latest("Mul"), Term::Op::kMul},
       {&Latest("Div"), Term::Op::kDiv}}};
  for (const auto& [def, kind] : known) {
    if (def == &op) return kind;
  }
  return std::nullopt;
}

// One element, or one for each channel of [N, C, ...].
bool IsPerChannel(const Dims& dims, size_t rank) {
  if (dims.size() > rank) return false;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] != 1 && rank - dims.size() + i != kChannelAxis) return false;
  }
  return true;
}

struct Absorbed {
  Plan plan;
  std::vector<int> made;  // what its steps make of the constants, and others read
};

// Walks the steps in order. Steps on constants come first in the result, with those that are added
// here, so that each stands before its readers.
class Absorption {
 public:
  Absorption(const Plan& plan, const NumberedTensors& constants)
      : plan_(plan), readers_(CountReaders(plan)), constant_(plan.specs.size(), false) {
    result_.plan.specs = plan.specs;
    result_.plan.kept = plan.kept;
    for (const auto& [number, tensor] : constants) constant_[static_cast<size_t>(number)] = true;
  }

  Absorbed Run() && {
    for (const PlanStep& step : plan_.steps) Place(step);
    std::vector<PlanStep>& steps = result_.plan.steps;
    for (Taker& taker : takers_) {
      if (taker.scale != kNoArray || taker.shift != kNoArray) Apply(taker);
    }
    steps.insert(steps.end(), std::make_move_iterator(rest_.begin()),
                 std::make_move_iterator(rest_.end()));
    MarkLastUses(result_.plan);
    return std::move(result_);
  }

 private:
  // A step whose result is to be scaled, then shifted: by vectors of an element a channel or of
  // one.
  struct Taker {
    size_t step;  // in rest_
    std::optional<Term> term;
    int scale = kNoArray;
    int shift = kNoArray;
  };

  const TensorSpec& SpecOf(int array) const {
    return result_.plan.specs[static_cast<size_t>(array)];
  }
  bool IsConstant(int array) const {
    return array == kNoArray || constant_[static_cast<size_t>(array)];
  }

  void Place(const PlanStep& step) {
    origin_ = &step.origin;
    if (std::all_of(step.inputs.begin(), step.inputs.end(),
                    [&](int input) { return IsConstant(input); })) {
      for (const int output : step.outputs) {
        if (output != kNoArray) constant_[static_cast<size_t>(output)] = true;
      }
      result_.plan.steps.push_back(step);
      return;
    }
    const std::optional<Term> term = TermOf(step);
    if (term.has_value() && GoesIntoTaker(step, *term)) return;
    rest_.push_back(step);
    if ((term.has_value() && IsOfImages(*term)) || IsConvolution(step)) {
      taker_of_[step.outputs[0]] = takers_.size();
      takers_.push_back({rest_.size() - 1, term});
    }
  }

  std::optional<Term> TermOf(const PlanStep& step) const {
    const std::optional<Term::Op> op = OpOf(*step.op);
    const TensorSpec& spec = step.specs[0];
    if (!op.has_value() || step.kernel != step.op->cpu || !IsFloat(spec) || spec.rank() < 2) {
      return std::nullopt;
    }
    Term term{*op, step.inputs[0], step.inputs[1]};
    const bool commutes = term.op == Term::Op::kAdd || term.op == Term::Op::kMul;
    if (commutes && IsConstant(term.x)) std::swap(term.x, term.c);
    const bool fits = IsConstant(term.c) && !IsConstant(term.x) &&
                      SpecOf(term.x).dims == spec.dims &&
                      IsPerChannel(SpecOf(term.c).dims, spec.dims.size());
    return fits ? std::optional(term) : std::nullopt;
  }

  // Where many steps on images become one. Elsewhere nothing is worth another rounding.
  bool IsOfImages(const Term& term) const {
    constexpr int kMinImageRank = 3;
    return SpecOf(term.x).rank() >= kMinImageRank && SpecOf(term.c).numel() > 1;
  }

  static bool IsFloat(const TensorSpec& spec) {
    return spec.dtype == DType::kFloat32 || spec.dtype == DType::kFloat64;
  }

  bool IsConvolution(const PlanStep& step) const {
    static const OpDef& conv = Latest("Conv", "gradwire");
    return step.op == &conv && step.kernel == conv.cpu && IsFloat(step.specs[0]) &&
           std::all_of(step.inputs.begin() + 1, step.inputs.end(),
                       [&](int input) { return IsConstant(input); });
  }

  // Whether the step is left to the one that makes its input.
  bool GoesIntoTaker(const PlanStep& step, const Term& term) {
    const auto found = taker_of_.find(term.x);
    if (found == taker_of_.end() || readers_[static_cast<size_t>(term.x)] != 1) return false;
    Taker& taker = takers_[found->second];
    if (taker.term.has_value() && taker.scale == kNoArray && taker.shift == kNoArray) {
      Absorb(*taker.term, taker);
    }
    Absorb(term, taker);
    rest_[taker.step].outputs = step.outputs;
    taker_of_[step.outputs[0]] = found->second;
    return true;
  }

  void Absorb(const Term& term, Taker& taker) {
    const int c = View(term.c, {SpecOf(term.c).numel()});
    const auto onto = [&](int& array, std::string_view op, std::string_view alone) {
      array = array != kNoArray ? Combined(op, array, c) : alone.empty() ? c : Of(alone, c);
    };
    switch (term.op) {
      case Term::Op::kAdd:
        return onto(taker.shift, "Add", "");
      case Term::Op::kSub:
        return onto(taker.shift, "Sub", "Neg");
      case Term::Op::kMul:
        onto(taker.scale, "Mul", "");
        break;
      case Term::Op::kDiv:
        onto(taker.scale, "Div", "Reciprocal");
        break;
    }
    if (taker.shift != kNoArray) {
      taker.shift = Combined(term.op == Term::Op::kMul ? "Mul" : "Div", taker.shift, c);
    }
  }

  void Apply(Taker& taker) {
    PlanStep& step = rest_[taker.step];
    origin_ = &step.origin;
    if (taker.term.has_value()) {
      ApplyToElements(taker, step);
    } else {
      ApplyToConvolution(taker, step);
    }
  }

  void ApplyToElements(const Taker& taker, PlanStep& step) {
    const bool both = taker.scale != kNoArray && taker.shift != kNoArray;
    step.op =
        both ? &Latest("MulAdd", "gradwire") : &Latest(taker.scale != kNoArray ? "Mul" : "Add");
    step.kernel = step.op->cpu;
    step.inputs = {taker.term->x};
    for (const int vector : {taker.scale, taker.shift}) {
      if (vector == kNoArray) continue;
      Dims column(step.specs[0].dims.size() - kChannelAxis, 1);
      column[0] = SpecOf(vector).numel();
      step.inputs.push_back(View(vector, column));
      result_.made.push_back(step.inputs.back());
    }
  }

  void ApplyToConvolution(const Taker& taker, PlanStep& step) {
    const int64_t channels = step.specs[0].dims[kChannelAxis];
    int& weights = step.inputs[1];
    int bias = step.inputs.size() > 2 ? step.inputs[2] : kNoArray;
    if (taker.scale != kNoArray) {
      Dims column(SpecOf(weights).dims.size(), 1);
      column[0] = SpecOf(taker.scale).numel();
      weights = Combined("Mul", weights, View(taker.scale, column));
      result_.made.push_back(weights);
      if (bias != kNoArray) bias = Combined("Mul", bias, taker.scale);
    }
    if (taker.shift != kNoArray) {
      bias =
          bias != kNoArray ? Combined("Add", bias, taker.shift) : Expanded(taker.shift, channels);
    }
    if (bias == kNoArray) return;
    result_.made.push_back(bias);
    step.inputs.resize(3);
    step.inputs[2] = bias;
  }

  int Make(const OpDef& op, absl::InlinedVector<int, 3> inputs, const Dims& dims,
           Attributes attributes = {}) {
    const TensorSpec spec{SpecOf(inputs[0]).dtype, dims};
    const auto made = static_cast<int>(result_.plan.specs.size());
    result_.plan.specs.push_back(spec);
    constant_.push_back(true);
    PlanStep step;
    step.op = &op;
    step.kernel = op.cpu;
    step.attributes = std::move(attributes);
    step.inputs = std::move(inputs);
    step.outputs = {made};
    step.specs = {spec};
    step.origin = *origin_;
    result_.plan.steps.push_back(std::move(step));
    return made;
  }
  int Of(std::string_view op, int array) { return Make(Latest(op), {array}, SpecOf(array).dims); }
  // The larger array's elements, and the other's.
  int Combined(std::string_view op, int array, int other) {
    const bool grows = SpecOf(other).numel() > SpecOf(array).numel();
    return Make(Latest(op), {array, other}, SpecOf(grows ? other : array).dims);
  }
  int View(int array, const Dims& dims) {
    if (SpecOf(array).dims == dims) return array;
    return Make(Latest("Reshape", "gradwire"), {array}, dims);
  }
  int Expanded(int vector, int64_t channels) {
    if (SpecOf(vector).numel() == channels) return vector;
    return Make(Latest("Expand", "gradwire"), {vector}, {channels},
                {{"shape", std::vector<int64_t>{channels}}});
  }

  const Plan& plan_;
  const std::vector<int> readers_;
  std::vector<bool> constant_;  // by array
  Absorbed result_;
  std::vector<PlanStep> rest_;
  std::vector<Taker> takers_;
  absl::flat_hash_map<int, size_t> taker_of_;  // by the array that it makes
  const Origin* origin_ = nullptr;
};

bool IsFinite(const Tensor& tensor) {
  bool finite = false;
  Dispatch(FloatTypes{}, tensor.dtype(), [&]<class T>() {
    finite = std::all_of(tensor.data<T>(), tensor.data<T>() + tensor.numel(),
                         [](T element) { return std::isfinite(element); });
  });
  return finite;
}

}  // namespace

NumberedTensors AbsorbConstants(Plan& plan, NumberedTensors constants, Executor& executor) {
  Absorbed absorbed = Absorption(plan, constants).Run();
  if (absorbed.made.empty()) return constants;
  NumberedTensors folded = executor.Fold(absorbed.plan, constants);
  absl::flat_hash_map<int, const Tensor*> tensors;
  for (const auto& [number, tensor] : folded) tensors.emplace(number, &tensor);
  const bool good = std::all_of(absorbed.made.begin(), absorbed.made.end(), [&](int made) {
    const auto found = tensors.find(made);
    return found != tensors.end() && IsFinite(*found->second);
  });
  if (!good) return constants;
  plan = std::move(absorbed.plan);
  return folded;
}

}  // namespace gradwire
