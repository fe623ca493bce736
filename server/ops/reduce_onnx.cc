// ONNX's reductions: axes as an attribute or an input, lowered to the rows of reduce.cc.
#include "graph/formula.h"

namespace gradwire {
namespace {

// Normalised. Without axes all are reduced, or none where the row knows noop_with_empty_axes.
Dims ReducedAxes(const OpCall& call) {
  const std::vector<int64_t> axes = call.has(1) ? call.Ints(1) : call.attributes().Ints("axes", {});
  if (!axes.empty()) return NormalizeAxes(axes, call.rank(0));
  return call.attributes().Int("noop_with_empty_axes", 0) != 0 ? Dims() : AllAxes(call.rank(0));
}

Value Reduce(const std::string& name, const Value& x, const Dims& axes, bool keepdims) {
  return Call("gradwire::" + name, {x},
              {{"axes", ToVector(axes)}, {"keepdims", int64_t{keepdims}}});
}

bool KeepsDims(const OpCall& call) { return call.attributes().Int("keepdims", 1) != 0; }

Values DecomposeReduce(const OpCall& call) {
  return {Reduce(std::string(call.op().name), call.input(0), ReducedAxes(call), KeepsDims(call))};
}

// Logarithms of integers are computed in float64 and cut to the integer type.
Value InFloat(const Value& x) { return kFloats.Contains(x.dtype()) ? x : Cast(x, DType::kFloat64); }

Values DecomposeLogSum(const OpCall& call) {
  const Value sum = Sum(InFloat(call.input(0)), ReducedAxes(call), KeepsDims(call));
  return {Cast(Log(sum), call.dtype(0))};
}

// The maximum is taken out, so that no exponential overflows, unless it is infinite.
Values DecomposeLogSumExp(const OpCall& call) {
  const Value x = InFloat(call.input(0));
  const Dims axes = ReducedAxes(call);
  const Value max = Call("gradwire::Detach", {Reduce("ReduceMax", x, axes, /*keepdims=*/true)});
  const Value infinite = Call("IsInf", {max});
  const Value shift = Where(infinite, Scalar(0, x.dtype()), max);
  Value y = Log(Sum(Exp(x - shift), axes, /*keepdims=*/true)) + shift;
  if (!KeepsDims(call)) y = Sum(y, axes, /*keepdims=*/false);
  return {Cast(y, call.dtype(0))};
}

// Axes are an attribute before opset `since`, an input from it on.
constexpr DTypeSet kArithmetic =
    kFloats | (DType::kInt32 | DType::kInt64) | (DType::kUint32 | DType::kUint64);

OpDef WithAttribute(std::string_view name, Decompose decompose, DTypeSet types = kArithmetic) {
  return {.name = name, .types = types, .attributes = {"axes", "keepdims"}, .decompose = decompose};
}

OpDef WithInput(std::string_view name, int since, Decompose decompose,
                DTypeSet types = kArithmetic) {
  return {.name = name,
          .since = since,
          .inputs = {1, 2},
          .types = types,
          .attributes = {"keepdims", "noop_with_empty_axes"},
          .decompose = decompose};
}

GRADWIRE_OP(WithAttribute("ReduceSum", DecomposeReduce));
GRADWIRE_OP(WithInput("ReduceSum", 13, DecomposeReduce));
GRADWIRE_OP(WithAttribute("ReduceMean", DecomposeReduce));
GRADWIRE_OP(WithInput("ReduceMean", 18, DecomposeReduce));
GRADWIRE_OP(WithAttribute("ReduceMax", DecomposeReduce, kNumbers));
GRADWIRE_OP(WithInput("ReduceMax", 18, DecomposeReduce, kNumbers | kBool));
GRADWIRE_OP(WithAttribute("ReduceMin", DecomposeReduce, kNumbers));
GRADWIRE_OP(WithInput("ReduceMin", 18, DecomposeReduce, kNumbers | kBool));
GRADWIRE_OP(WithAttribute("ReduceProd", DecomposeReduce));
GRADWIRE_OP(WithInput("ReduceProd", 18, DecomposeReduce));
GRADWIRE_OP(WithAttribute("ReduceL1", DecomposeReduce));
GRADWIRE_OP(WithInput("ReduceL1", 18, DecomposeReduce));
GRADWIRE_OP(WithAttribute("ReduceL2", DecomposeReduce));
GRADWIRE_OP(WithInput("ReduceL2", 18, DecomposeReduce));
GRADWIRE_OP(WithAttribute("ReduceSumSquare", DecomposeReduce));
GRADWIRE_OP(WithInput("ReduceSumSquare", 18, DecomposeReduce));
GRADWIRE_OP(WithAttribute("ReduceLogSum", DecomposeLogSum));
GRADWIRE_OP(WithInput("ReduceLogSum", 18, DecomposeLogSum));
GRADWIRE_OP(WithAttribute("ReduceLogSumExp", DecomposeLogSumExp));
GRADWIRE_OP(WithInput("ReduceLogSumExp", 18, DecomposeLogSumExp));

}  // namespace
}  // namespace gradwire
