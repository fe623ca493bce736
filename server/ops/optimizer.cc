// Optimizer updates as functions of rate R, count T of earlier steps, parameter X, gradient G and
// state. One fused pass a parameter; ONNX's rows, which take several parameters, repeat it. The
// formulas are those of gradwire.proto's StepRequest.
#include <fmt/format.h>

#include <array>
#include <utility>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/optimizer_functors.h"

namespace gradwire {
namespace {

constexpr int64_t kGrain = 1 << 13;

// ---- What the rows of one parameter share: inputs R, T, X, G, state...; outputs X, state...

Specs InferUpdate(const OpCall& call, size_t parameter) {
  for (size_t i = 0; i < parameter; ++i) {
    if (call.spec(i).numel() != 1) {
      throw Error(reason::kShapeMismatch, fmt::format("{} has one element, got {}",
                                                      i == 0 ? "R" : "T", ToString(call.spec(i))));
    }
  }
  if (parameter > 1 && call.dtype(1) != DType::kInt64) {
    throw Error(reason::kDtypeMismatch,
                fmt::format("T must be int64, got {}", ToString(call.spec(1))));
  }
  const TensorSpec& spec = call.spec(parameter);
  for (size_t i = parameter; i < call.num_inputs(); ++i) {
    if (call.spec(i) == spec && (kFloats | kHalves).Contains(spec.dtype)) continue;
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, input {} is {}: gradient and state must be like the "
                            "parameter, of floats",
                            ToString(spec), i, ToString(call.spec(i))));
  }
  return Specs(call.num_inputs() - parameter - 1, spec);
}

Specs InferCounted(const OpCall& call) { return InferUpdate(call, 2); }

double Rate(const KernelContext& k) {
  double rate = 0;
  Dispatch(FloatTypes{}, k.input(0).dtype(),
           [&]<class T>() { rate = static_cast<double>(*k.in<T>(0)); });
  return rate;
}

double Count(const KernelContext& k) { return static_cast<double>(*k.in<int64_t>(1)); }

// The update of element i, as compilers vectorise it in a loop: it owns what it is called with,
// which outputs then cannot alias, and spells the states out.
template <class T, class Step, class In, class Out, size_t... kState>
auto UpdateOf(const Step& step, const In& in, const Out& out, std::index_sequence<kState...>) {
  return [=](int64_t i) {
    T x = in[0][i];
    T states[sizeof...(kState) + 1] = {in[2 + kState][i]...};
    step(x, in[1][i], states);
    out[0][i] = x;
    ((out[1 + kState][i] = states[kState]), ...);
  };
}

// One fused pass. Output 0 may be the buffer of any input of its shape: each element is read before
// it is written, and R and T before all.
template <class Rule>
void UpdateKernel(KernelContext& k) {
  constexpr size_t kParameter = Rule::kCounts ? 2 : 1;
  const Rule rule = Rule::Make(k.attributes());
  const double rate = Rate(k);
  const double count = Rule::kCounts ? Count(k) : 0;
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() {
    const auto step = rule.template At<T>(rate, count);
    std::array<const T*, 2 + Rule::kStates> in;
    std::array<T*, 1 + Rule::kStates> out;
    for (size_t i = 0; i < in.size(); ++i) in[i] = k.in<T>(kParameter + i);
    for (size_t i = 0; i < out.size(); ++i) out[i] = k.out<T>(i);
    const auto update = UpdateOf<T>(step, in, out, std::make_index_sequence<Rule::kStates>());
    ParallelFor(k.output(0).numel(), kGrain, [=](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) update(i);
    });
  });
}

GRADWIRE_OP({.name = "Sgd",
             .domain = "gradwire",
             .inputs = 3,
             .attributes = {"norm_coefficient"},
             .infer = [](const OpCall& call) { return InferUpdate(call, 1); },
             .cpu = UpdateKernel<fn::Sgd>,
             .differentiable = false,
             .in_place = true});
GRADWIRE_OP({.name = "Momentum",
             .domain = "gradwire",
             .inputs = 5,
             .outputs = 2,
             .attributes = {"alpha", "beta", "nesterov", "norm_coefficient"},
             .infer = InferCounted,
             .cpu = UpdateKernel<fn::Momentum>,
             .differentiable = false,
             .in_place = true});
GRADWIRE_OP({.name = "Adagrad",
             .domain = "gradwire",
             .inputs = 5,
             .outputs = 2,
             .attributes = {"decay_factor", "epsilon", "norm_coefficient"},
             .infer = InferCounted,
             .cpu = UpdateKernel<fn::Adagrad>,
             .differentiable = false,
             .in_place = true});

OpDef AdamRow(std::string_view name, std::vector<std::string_view> attributes, Kernel cpu) {
  return {.name = name,
          .domain = "gradwire",
          .inputs = 6,
          .outputs = 3,
          .attributes = std::move(attributes),
          .infer = InferCounted,
          .cpu = cpu,
          .differentiable = false,
          .in_place = true};
}

GRADWIRE_OP(AdamRow("Adam", {"alpha", "beta", "epsilon", "norm_coefficient"},
                    UpdateKernel<fn::Adam>));
GRADWIRE_OP(AdamRow("AdamW", {"alpha", "beta", "epsilon", "norm_coefficient"},
                    UpdateKernel<fn::AdamW>));
GRADWIRE_OP(AdamRow("OnnxAdam",
                    {"alpha", "beta", "epsilon", "norm_coefficient", "norm_coefficient_post"},
                    UpdateKernel<fn::OnnxAdam>));

// ---- ONNX's rows: R, T, all X, all G, then each state; outputs all X, then each state

Values ForEachParameter(const OpCall& call, std::string_view op, const Attributes& attributes,
                        size_t states) {
  const size_t each = 2 + states;
  const size_t parameters = (call.num_inputs() - 2) / each;
  if (parameters == 0 || (call.num_inputs() - 2) % each != 0) {
    throw Error(reason::kInvalidArgument,
                fmt::format("takes R, T and {} inputs for each parameter, got {} in all", each,
                            call.num_inputs()));
  }
  Values outputs(parameters * (1 + states));
  for (size_t p = 0; p < parameters; ++p) {
    Values inputs = {call.input(0), call.input(1)};
    for (size_t i = 0; i < each; ++i) inputs.push_back(call.input(2 + i * parameters + p));
    const Values updated =
        ApplyAll(op, std::move(inputs), attributes, static_cast<int>(1 + states));
    for (size_t i = 0; i <= states; ++i) outputs[i * parameters + p] = updated[i];
  }
  return outputs;
}

Values DecomposeMomentum(const OpCall& call) {
  const std::string& mode = call.attributes().String("mode");
  if (mode != "standard" && mode != "nesterov") {
    throw Error(reason::kInvalidArgument,
                fmt::format("mode '{}' is not one of standard, nesterov", mode));
  }
  return ForEachParameter(call, "gradwire::Momentum",
                          {{"alpha", call.attributes().Float("alpha")},
                           {"beta", call.attributes().Float("beta")},
                           {"norm_coefficient", call.attributes().Float("norm_coefficient")},
                           {"nesterov", int64_t{mode == "nesterov"}}},
                          1);
}

Values DecomposeAdagrad(const OpCall& call) {
  Attributes attributes = call.attributes();
  if (!attributes.Has("epsilon")) attributes.Set("epsilon", double{1e-6f});
  return ForEachParameter(call, "gradwire::Adagrad", attributes, 1);
}

OpDef TrainingRow(std::string_view name, std::vector<std::string_view> attributes,
                  Decompose decompose) {
  return {.name = name,
          .domain = "ai.onnx.preview.training",
          .inputs = {2, kVariadic},
          .outputs = {1, kVariadic},
          .attributes = std::move(attributes),
          .decompose = decompose,
          .differentiable = false};
}

GRADWIRE_OP(TrainingRow("Momentum", {"alpha", "beta", "mode", "norm_coefficient"},
                        DecomposeMomentum));
GRADWIRE_OP(TrainingRow("Adagrad", {"decay_factor", "epsilon", "norm_coefficient"},
                        DecomposeAdagrad));
GRADWIRE_OP(TrainingRow("Adam",
                        {"alpha", "beta", "epsilon", "norm_coefficient", "norm_coefficient_post"},
                        [](const OpCall& call) {
                          return ForEachParameter(call, "gradwire::OnnxAdam", call.attributes(), 2);
                        }));

}  // namespace
}  // namespace gradwire
