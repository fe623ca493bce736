// Transaction::Step, and the optimizers' updates as calls of operators.

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "core/error.h"
#include "graph/formula.h"
#include "session/optimizer.h"
#include "session/transaction.h"

namespace gradwire {
namespace {

constexpr std::string_view kTraining = "ai.onnx.preview.training::";

void CheckRange(const char* name, double value, double low, double high) {
  if (value >= low && value <= high) return;
  throw Error(reason::kInvalidArgument,
              fmt::format("{} is {}, must be in [{}, {}]", name, value, low, high));
}

// One parameter's update: what each optimizer asks of it.
class Update {
 public:
  explicit Update(const Stepping& stepping) : s_(stepping) {}

  Value operator()(const Sgd& o) {
    CheckRange("lr", o.lr, 0, INFINITY);
    return Call("gradwire::Sgd", {Rate(o.lr), s_.parameter, s_.gradient},
                {{"norm_coefficient", o.weight_decay}});
  }

  Value operator()(const Momentum& o) {
    CheckRange("lr", o.lr, 0, INFINITY);
    const Value t = Count();
    const Values out = ApplyAll(std::string(kTraining) + "Momentum",
                                {Rate(o.lr), t, s_.parameter, s_.gradient, State("v")},
                                {{"alpha", o.momentum},
                                 {"beta", 1 - o.dampening},
                                 {"norm_coefficient", o.weight_decay},
                                 {"mode", std::string(o.nesterov ? "nesterov" : "standard")}},
                                2);
    s_.bind_state("v", out[1]);
    return out[0];
  }

  Value operator()(const Adam& o) { return AdamLike("gradwire::Adam", o); }
  Value operator()(const AdamW& o) { return AdamLike("gradwire::AdamW", o); }

  Value operator()(const Adagrad& o) {
    CheckRange("lr", o.lr, 0, INFINITY);
    const Value t = Count();
    const Values out = ApplyAll(std::string(kTraining) + "Adagrad",
                                {Rate(o.lr), t, s_.parameter, s_.gradient, State("h")},
                                {{"decay_factor", o.lr_decay},
                                 {"epsilon", o.epsilon},
                                 {"norm_coefficient", o.weight_decay}},
                                2);
    s_.bind_state("h", out[1]);
    return out[0];
  }

 private:
  template <class Options>
  Value AdamLike(std::string_view op, const Options& o) {
    CheckRange("lr", o.lr, 0, INFINITY);
    CheckRange("beta1", o.beta1, 0, std::nextafter(1.0, 0.0));
    CheckRange("beta2", o.beta2, 0, std::nextafter(1.0, 0.0));
    const Value t = Count();
    const Values out =
        ApplyAll(op, {Rate(o.lr), t, s_.parameter, s_.gradient, State("v"), State("h")},
                 {{"alpha", o.beta1},
                  {"beta", o.beta2},
                  {"epsilon", o.epsilon},
                  {"norm_coefficient", o.weight_decay}},
                 3);
    s_.bind_state("v", out[1]);
    s_.bind_state("h", out[2]);
    return out[0];
  }

  // A scalar of the type that the update is computed in.
  Value Rate(double lr) const {
    const DType dtype = s_.parameter.dtype();
    return Scalar(lr, kHalves.Contains(dtype) ? DType::kFloat32 : dtype);
  }

  Value State(const std::string& kind) const {
    Value state = s_.state(kind);
    if (!state) return ZerosLike(s_.parameter.spec());
    if (state.spec() != s_.parameter.spec()) {
      throw Error(reason::kShapeMismatch,
                  fmt::format("optimizer state '{}' is {}, the parameter is {}", kind,
                              ToString(state.spec()), ToString(s_.parameter.spec())));
    }
    return state;
  }

  // Number of earlier steps; counts this one.
  Value Count() {
    Value t = s_.state("t");
    if (!t) t = Scalar(0, DType::kInt64);
    s_.bind_state("t", t + 1.0);
    return t;
  }

  const Stepping& s_;
};

}  // namespace

Value TraceStep(const Optimizer& optimizer, const Stepping& stepping) {
  return std::visit(Update(stepping), optimizer);
}

void TraceClipping(std::vector<Value>& gradients, double value, double norm) {
  CheckRange("clip_value", value, 0, INFINITY);
  CheckRange("clip_norm", norm, 0, INFINITY);
  if (value > 0) {
    for (Value& g : gradients) {
      g = Call("Clip", {g, Scalar(-value, g.dtype()), Scalar(value, g.dtype())});
    }
  }
  if (norm <= 0 || gradients.empty()) return;
  Value squares;
  for (const Value& g : gradients) {
    const Value part = Cast(Sum(Square(g), AllAxes(g.rank()), false), gradients[0].dtype());
    squares = squares ? squares + part : part;
  }
  // The small constant is PyTorch's clip_grad_norm_'s.
  const Value ratio = norm / (Sqrt(squares) + 1e-6);
  const Value scale = Call("Min", {ratio, Scalar(1, ratio.dtype())});
  for (Value& g : gradients) g = g * Cast(scale, g.dtype());
}

int Transaction::Step(const StepArgs& args) {
  const RecordingScope recording(false);
  std::vector<std::string> names;
  std::vector<Value> gradients;
  const auto add = [&](const std::string& name) {
    const Value* gradient = Find("grad/" + name);
    const Value* parameter = Find(name);
    if (gradient == nullptr || parameter == nullptr) return;
    names.push_back(name);
    gradients.push_back(*gradient);
  };
  for (const std::string& name : args.parameters) {
    if (!Look(name).leaf()) {
      throw Error(reason::kNoGraph, fmt::format("'{}' is not a leaf that requires grad", name))
          .With("tensor", name);
    }
    add(name);
  }
  if (args.parameters.empty()) {
    for (const std::string& grad : NamesWith("grad/")) {
      const std::string name = grad.substr(std::string_view("grad/").size());
      const Item* parameter = FindItem(name);
      const bool moves = parameter != nullptr && parameter->is_tensor();
      if (moves && parameter->tensor().leaf()) add(name);
    }
  }
  TraceClipping(gradients, args.clip_value, args.clip_norm);
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string prefix = "optim/" + names[i] + "/";
    const Stepping stepping{
        Look(names[i]), gradients[i],
        [&](const std::string& kind) {
          const Value* state = Find(prefix + kind);
          return state != nullptr ? *state : Value();
        },
        [&](const std::string& kind, Value value) { Bind(prefix + kind, std::move(value)); }};
    const Value moved = TraceStep(args.optimizer, stepping);
    moved.slot()->leaf = std::make_shared<Leaf>(Leaf{names[i]});
    Bind(names[i], moved);
    if (args.zero_grad) Unbind("grad/" + names[i]);
  }
  return static_cast<int>(names.size());
}

}  // namespace gradwire
