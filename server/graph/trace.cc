#include "graph/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/strings.h"
#include "graph/halves.h"
#include "graph/op_call.h"

namespace gradwire {
namespace {

thread_local Trace* current_trace = nullptr;

// `inputs`: elements that are true where an input was not left out.
template <class Given>
void CheckArity(const OpDef& op, const Given& inputs, int num_outputs) {
  const auto count = static_cast<int>(inputs.size());
  const auto given = static_cast<int>(
      std::count_if(inputs.begin(), inputs.end(), [](const auto& v) { return bool(v); }));
  bool missing = count < op.inputs.min;
  for (int i = 0; i < std::min(count, op.inputs.min); ++i) missing |= !inputs[size_t(i)];
  if (missing || count > op.inputs.max) {
    const std::string wanted = op.inputs.max == kVariadic ? "or more"
                               : op.inputs.min == op.inputs.max
                                   ? "exactly"
                                   : fmt::format("to {}", op.inputs.max);
    throw Error(reason::kInvalidArgument,
                fmt::format("takes {} {} inputs, got {}", op.inputs.min, wanted, given));
  }
  if (num_outputs > op.outputs.max) {
    throw Error(reason::kInvalidArgument,
                fmt::format("has at most {} outputs, {} asked for", op.outputs.max, num_outputs));
  }
}

void CheckAttributes(const OpDef& op, const Attributes& attributes) {
  for (const auto& [name, value] : attributes.entries()) CheckAttribute(op, name);
}

// The element type that `types` speaks of, once it is known.
DType MainType(const Values& inputs, const Specs& outputs) {
  if (!inputs.empty() && inputs[0]) return inputs[0].dtype();
  return outputs.empty() ? DType::kUndefined : outputs[0].dtype;
}

// Kernels trust their contracts, and few contracts speak of elements that are no plain numbers.
void CheckOtherTypes(const OpDef& op, const Values& inputs) {
  const DTypeSet allowed = op.types | kDense | op.other_types;
  for (size_t i = 1; i < inputs.size(); ++i) {
    if (!inputs[i] || allowed.Contains(inputs[i].dtype())) continue;
    throw Error(reason::kDtypeMismatch,
                fmt::format("input {} may not be {}", i, ToString(inputs[i].spec())));
  }
}

// The type of 16-bit floats among the inputs of a row that does not list them: kUndefined where it
// does, or there are none.
DType UnlistedHalf(const OpDef& op, const Values& inputs) {
  if (!op.types.Contains(DType::kFloat32) || op.types.Contains(DType::kFloat16)) {
    return DType::kUndefined;
  }
  const auto* const found = std::find_if(inputs.begin(), inputs.end(), [](const Value& v) {
    return v && kHalves.Contains(v.dtype());
  });
  return found == inputs.end() ? DType::kUndefined : found->dtype();
}

// Of a call with 16-bit floats, `half` the type of the first of them, where the row does not list
// them: computed in float32, also where types are mixed.
Values ApplyWidened(const OpDef& op, Values inputs, Attributes attributes, int num_outputs,
                    DType half) {
  for (Value& value : inputs) {
    if (!value || !kHalves.Contains(value.dtype())) continue;
    value = Call("Cast", {value}, {{"to", int64_t{static_cast<int>(DType::kFloat32)}}});
  }
  return Narrow(Apply(op, std::move(inputs), std::move(attributes), num_outputs), half);
}

bool AnyRequiresGrad(const Values& inputs) {
  return std::any_of(inputs.begin(), inputs.end(),
                     [](const Value& v) { return v && v.requires_grad(); });
}

Values MakeNode(const OpDef& op, Values inputs, Attributes attributes, Specs specs, bool recorded,
                RulePtr rule = nullptr) {
  Trace::Current().CountNode();
  auto node = std::make_shared<Node>(&op, std::move(inputs), std::move(attributes), recorded);
  node->set_origin(Trace::Current().origin());
  node->set_rule(std::move(rule));
  for (TensorSpec& spec : specs) node->AddOutput(std::move(spec));
  Values outputs;
  for (size_t i = 0; i < node->num_outputs(); ++i) {
    outputs.push_back(node->output(static_cast<int>(i)));
  }
  return outputs;
}

// PyTorch's NotImplemented: the error waits for the walk, which may go another way.
class Refusal final : public Rule {
 public:
  explicit Refusal(const OpDef& op) : op_(op) {}
  Values Vjp(const VjpCall&) const override {
    throw Error(reason::kNotDifferentiable,
                fmt::format("the derivative for '{}' is not implemented", op_.name))
        .With("op", std::string(op_.name));
  }
  bool SavesInput(size_t) const override { return false; }
  bool SavesOutput(size_t) const override { return false; }

 private:
  const OpDef& op_;
};

Values Refusing(const OpDef& op, const Values& results, const Values& inputs) {
  Values refusing;
  for (const Value& result : results) {
    const bool smooth = result && kGradTypes.Contains(result.dtype());
    refusing.push_back(smooth ? ApplyFunction({result}, inputs, std::make_shared<Refusal>(op))[0]
                              : result);
  }
  return refusing;
}

}  // namespace

Trace& Trace::Current() { return *current_trace; }

// SplitMix64 (Steele, Lea and Flood, 2014): any state is a good one.
uint64_t Trace::NextSeed() {
  uint64_t z = (random_state_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return seeds_.emplace_back(z ^ (z >> 31));
}

void Trace::CountTrips(int64_t trips) {
  if (trips > kMaxUnrolled - unrolled_) {
    throw Error(reason::kQuotaExceeded,
                fmt::format("loops are unrolled into at most {} nodes a command, their trips "
                            "counted; {} are made and {} trips to come",
                            kMaxUnrolled, unrolled_, trips));
  }
  unrolled_ += trips;
  evaluator_.Poll();
}

TraceScope::TraceScope(Trace& trace) : previous_(std::exchange(current_trace, &trace)) {}
TraceScope::~TraceScope() { current_trace = previous_; }

RecordingScope::RecordingScope(bool recording)
    : previous_(std::exchange(Trace::Current().recording_, recording)) {}
RecordingScope::~RecordingScope() { Trace::Current().recording_ = previous_; }

void CheckAttribute(const OpDef& op, std::string_view name) {
  if (std::find(op.attributes.begin(), op.attributes.end(), name) == op.attributes.end()) {
    throw Error(reason::kInvalidArgument, fmt::format("has no attribute '{}'", name));
  }
}

void CheckCall(const OpDef& op, const std::vector<bool>& given, const Attributes& attributes,
               int num_outputs) {
  CheckArity(op, given, num_outputs);
  CheckAttributes(op, attributes);
}

void RefuseType(const OpDef& op, DType dtype) {
  throw Error(reason::kOpUnsupported, fmt::format("element type {} is not supported; supported: {}",
                                                  Name(dtype), op.types.ToString()));
}

Values ApplyRow(const OpDef& op, Values inputs, Attributes attributes, int num_outputs) {
  Trace& trace = Trace::Current();
  const DeviceType device = trace.stream().device().type;
  const bool recorded = trace.recording() && op.differentiable && AnyRequiresGrad(inputs);
  const bool has_kernel = IsNodeOn(op, device);
  const OpCall call(op, inputs, attributes, num_outputs);
  if (!has_kernel || (recorded && op.vjp == nullptr)) return op.decompose(call);
  Specs specs = op.infer(call);
  for (const TensorSpec& spec : specs) {
    CheckSpec(spec);
    if (spec.dtype == DType::kString) RequireStringDevice(Trace::Current().stream().device());
  }
  const DTypeSet types = TypesOf(op, device);
  if (!types.Contains(MainType(inputs, specs))) RefuseType(op, MainType(inputs, specs));
  return MakeNode(op, std::move(inputs), std::move(attributes), std::move(specs), recorded);
}

Values Apply(const OpDef& op, Values inputs, Attributes attributes, int num_outputs) {
  CheckArity(op, inputs, num_outputs);
  CheckAttributes(op, attributes);
  CheckOtherTypes(op, inputs);
  const DType half = UnlistedHalf(op, inputs);
  if (half != DType::kUndefined && !TakesHalves(op, inputs)) {
    return ApplyWidened(op, std::move(inputs), std::move(attributes), num_outputs, half);
  }
  const DTypeSet types = TypesOf(op, Trace::Current().device().type);
  if (!inputs.empty() && inputs[0] && !types.Contains(inputs[0].dtype())) {
    RefuseType(op, inputs[0].dtype());
  }
  const bool refuses = !op.differentiable && !op.stops_gradient && Trace::Current().recording() &&
                       AnyRequiresGrad(inputs);
  // What a kernel gives in float32 beside, statistics, is rounded as on other devices.
  const auto apply = [&](Values given) {
    Values results = ApplyRow(op, std::move(given), std::move(attributes), num_outputs);
    return half == DType::kUndefined ? results : Narrow(std::move(results), half);
  };
  if (!refuses) return apply(std::move(inputs));
  const RecordingScope off(false);
  return Refusing(op, apply(inputs), inputs);
}

Values ApplyFunction(const Values& results, const Values& inputs, RulePtr rule) {
  Values all = results;
  all.insert(all.end(), inputs.begin(), inputs.end());
  Specs specs;
  for (const Value& result : results) specs.push_back(result.spec());
  return MakeNode(Registry::Global().Latest("Function", "gradwire"), std::move(all), {},
                  std::move(specs), /*recorded=*/true, std::move(rule));
}

Values ApplyAll(std::string_view name, Values inputs, Attributes attributes, int num_outputs) {
  const size_t colons = name.find("::");
  const bool qualified = colons != std::string_view::npos;
  const OpDef& op = Registry::Global().Latest(qualified ? name.substr(colons + 2) : name,
                                              qualified ? name.substr(0, colons) : "");
  return Apply(op, std::move(inputs), std::move(attributes), num_outputs);
}

Value Call(std::string_view name, Values inputs, Attributes attributes) {
  return ApplyAll(name, std::move(inputs), std::move(attributes), 1)[0];
}

}  // namespace gradwire
