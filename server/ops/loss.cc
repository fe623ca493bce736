// NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss, as compositions.
#include "ops/loss.h"

#include <fmt/format.h>

#include "graph/formula.h"
#include "graph/kernel.h"

namespace gradwire {

void RefuseLabel(int64_t label, int64_t position, int64_t classes) {
  throw Error(reason::kInvalidArgument,
              fmt::format("label {} at position {} is outside [0, {})", label, position, classes));
}

namespace {

// ---- gradwire::Labels (labels) {classes, ignore_index?} -> labels, is_counted: checks the range,
// and puts class 0 where a label is to be ignored, so that it can be looked up.

Specs InferLabels(const OpCall& call) { return {call.spec(0), {DType::kBool, call.dims(0)}}; }

void LabelsCpu(KernelContext& k) {
  const int64_t classes = k.attributes().Int("classes");
  const bool ignores = k.attributes().Has("ignore_index");
  const int64_t ignored = k.attributes().Int("ignore_index", 0);
  Dispatch(TypeList<int32_t, int64_t>{}, k.input(0).dtype(), [&]<class T>() {
    const T* labels = k.in<T>(0);
    for (int64_t i = 0; i < k.input(0).numel(); ++i) {
      const bool counted = !ignores || labels[i] != ignored;
      if (counted && (labels[i] < 0 || labels[i] >= classes)) {
        RefuseLabel(labels[i], i, classes);
      }
      k.out<T>(0)[i] = counted ? labels[i] : T{0};
      k.out<bool>(1)[i] = counted;
    }
  });
}

GRADWIRE_OP({.name = "Labels",
             .domain = "gradwire",
             .outputs = 2,
             .types = DType::kInt32 | DType::kInt64,
             .attributes = {"classes", "ignore_index"},
             .infer = InferLabels,
             .cpu = LabelsCpu,
             .differentiable = false});

// ---- The losses: x [N, C, d...], labels [N, d...], weights [C]

void CheckShapes(const OpCall& call) {
  Dims expected = call.dims(0);
  if (call.rank(0) >= 2) expected.erase(expected.begin() + 1);
  if (call.rank(0) < 2 || call.dims(1) != expected) {
    throw Error(reason::kShapeMismatch,
                fmt::format("scores are {}, labels are {}: [N,C,...] and [N,...] are expected",
                            ToString(call.spec(0)), ToString(call.spec(1))));
  }
  if (call.has(2) && call.dims(2) != Dims{call.dims(0)[1]}) {
    throw Error(reason::kShapeMismatch,
                fmt::format("scores are {}, weights are {}: a weight for each of {} classes is "
                            "expected",
                            ToString(call.spec(0)), ToString(call.spec(2)), call.dims(0)[1]));
  }
}

// The loss, of log-probabilities. Ignored labels weigh nothing; the mean is over the weights.
Value Loss(const OpCall& call, const Value& log_prob) {
  const bool ignores = call.attributes().Has("ignore_index");
  Attributes checks{{"classes", log_prob.dims()[1]}};
  if (ignores) checks.Set("ignore_index", call.attributes().Int("ignore_index"));
  const Values checked = ApplyAll("gradwire::Labels", {call.input(1)}, std::move(checks), 2);
  const Value& labels = checked[0];
  const Value zero = Scalar(0, log_prob.dtype());
  const auto counted = [&](const Value& x) { return ignores ? Where(checked[1], x, zero) : x; };

  const Value picked =
      Call("GatherElements", {log_prob, Unsqueeze(labels, {1})}, {{"axis", int64_t{1}}});
  Value loss = counted(-Reshape(picked, labels.dims()));
  Value weights;
  if (call.has(2)) {
    weights = counted(Call("Gather", {call.input(2), labels}));
    loss = loss * weights;
  } else if (ignores) {
    weights = Mask(checked[1], log_prob.dtype());
  }
  const std::string reduction = call.attributes().String("reduction", "mean");
  const Dims all = AllAxes(loss.rank());
  if (reduction == "none") return loss;
  if (reduction == "sum") return Sum(loss, all, /*keepdims=*/false);
  if (reduction != "mean") {
    throw Error(reason::kInvalidArgument,
                fmt::format("reduction '{}' is not one of none, sum, mean", reduction));
  }
  if (!weights) return Mean(loss, all, /*keepdims=*/false);
  return Sum(loss, all, /*keepdims=*/false) / Sum(weights, all, /*keepdims=*/false);
}

GRADWIRE_OP({.name = "NegativeLogLikelihoodLoss",
             .since = 12,
             .inputs = {2, 3},
             .attributes = {"ignore_index", "reduction"},
             .decompose = [](const OpCall& call) -> Values {
               CheckShapes(call);
               return {Loss(call, call.input(0))};
             }});
GRADWIRE_OP({.name = "SoftmaxCrossEntropyLoss",
             .since = 12,
             .inputs = {2, 3},
             .outputs = {1, 2},
             .attributes = {"ignore_index", "reduction"},
             .decompose = [](const OpCall& call) -> Values {
               CheckShapes(call);
               const Value log_prob = Call("LogSoftmax", {call.input(0)}, {{"axis", int64_t{1}}});
               return {Loss(call, log_prob), log_prob};
             }});

}  // namespace
}  // namespace gradwire
