// BatchNormalization of every opset, in the rows of batch_norm.cc.
#include <fmt/format.h>

#include "graph/formula.h"
#include "graph/halves.h"
#include "ops/norm.h"

namespace gradwire {
namespace {

// X as [batch, channels, ...]; the parameters as vectors of one element a channel.
struct Operands {
  Value x, scale, bias, mean, var;
};

Operands Prepare(const OpCall& call, bool spatial) {
  if (call.rank(0) < 1) throw Error(reason::kShapeMismatch, "X is a scalar, expected a batch");
  const DType dtype = ComputeType(call.dtype(0));
  const auto parameter = [&](size_t i) {
    return Reshape(Cast(call.input(i), dtype), Dims{call.spec(i).numel()});
  };
  Dims dims = call.dims(0);
  if (dims.size() == 1) dims.push_back(1);
  if (!spatial) dims = {dims[0], NumElements(std::span<const int64_t>(dims).subspan(1))};
  return {Reshape(Cast(call.input(0), dtype), dims), parameter(1), parameter(2), parameter(3),
          parameter(4)};
}

Value Blend(const Value& old, const Value& current, double momentum) {
  return old * momentum + current * (1 - momentum);
}

// Y, the running mean and variance, and those of the batch. ONNX declares all but Y not
// differentiable; a loop that feeds them back must not keep the graphs of past rounds.
Values Train(const OpCall& call, const Operands& in) {
  const Attributes epsilon{{"epsilon", call.attributes().Float("epsilon", 1e-5f)}};
  const double momentum = call.attributes().Float("momentum", 0.9f);
  Values results = ApplyAll("gradwire::BatchNorm", {in.x, in.scale, in.bias}, epsilon, 3);
  if (kHalves.Contains(call.dtype(0))) results = Narrow(std::move(results), call.dtype(0), 0b1);
  const Value y = Cast(Reshape(results[0], call.dims(0)), call.dtype(0));
  if (call.num_outputs() == 1) return {y};
  const RecordingScope off(false);
  const auto statistic = [&](const Value& value, size_t i) {
    return Cast(Reshape(value, call.dims(i)), call.dtype(i));
  };
  const Value mean = Call("gradwire::Detach", {results[1]});
  const Value var = Call("gradwire::Detach", {results[2]});
  return {y, statistic(Blend(in.mean, mean, momentum), 3),
          statistic(Blend(in.var, var, momentum), 4), statistic(mean, 3), statistic(var, 4)};
}

Values Infer(const OpCall& call, const Operands& in) {
  if (call.num_outputs() > 1) {
    throw Error(reason::kInvalidArgument,
                fmt::format("has one output when not training, {} asked for", call.num_outputs()));
  }
  const Attributes epsilon{{"epsilon", call.attributes().Float("epsilon", 1e-5f)}};
  const Value y = Call("gradwire::BatchNormWithStatistics",
                       {in.x, in.scale, in.bias, in.mean, in.var}, epsilon);
  return {Cast(Reshape(y, call.dims(0)), call.dtype(0))};
}

Values Normalize(const OpCall& call, bool training) {
  const Operands in = Prepare(call, call.attributes().Int("spatial", 1) != 0);
  return training ? Train(call, in) : Infer(call, in);
}

Values Decompose1(const OpCall& call) {
  return Normalize(call, call.attributes().Int("is_test", 0) == 0);
}
Values Decompose7(const OpCall& call) { return Normalize(call, call.num_outputs() > 1); }
Values Decompose14(const OpCall& call) {
  return Normalize(call, call.attributes().Int("training_mode", 0) != 0);
}

OpDef Row(int since, int outputs, std::vector<std::string_view> attributes, Decompose decompose) {
  attributes.insert(attributes.end(), {"epsilon", "momentum"});
  return {.name = "BatchNormalization",
          .since = since,
          .inputs = 5,
          .outputs = {1, outputs},
          .types = kFloats | kHalves,
          .attributes = std::move(attributes),
          .decompose = decompose};
}

GRADWIRE_OP(Row(1, 5, {"consumed_inputs", "is_test", "spatial"}, Decompose1));
GRADWIRE_OP(Row(6, 5, {"is_test", "spatial"}, Decompose1));
GRADWIRE_OP(Row(7, 5, {"spatial"}, Decompose7));
GRADWIRE_OP(Row(9, 5, {}, Decompose7));
GRADWIRE_OP(Row(14, 3, {"training_mode"}, Decompose14));

}  // namespace
}  // namespace gradwire
