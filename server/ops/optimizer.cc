// Optimizer updates as functions of rate R, count T of earlier steps, parameter X, gradient G and
// state. One fused pass a parameter; ONNX's rows, which take several parameters, repeat it. The
// formulas are those of gradwire.proto's StepRequest.
#include <fmt/format.h>

#include <cmath>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"

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
    if (call.spec(i) == spec && kFloats.Contains(spec.dtype)) continue;
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

// Output 0 may be the buffer of any input of its shape: each element is read before it is written,
// and R and T before all.
template <class F>
void ForEach(int64_t n, F update) {
  ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) update(i);
  });
}

// ---- gradwire::Sgd (R, X, G)

void SgdCpu(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() {
    const T rate = static_cast<T>(Rate(k));
    const T decay = static_cast<T>(k.attributes().Float("norm_coefficient", 0));
    const T* x = k.in<T>(1);
    const T* g = k.in<T>(2);
    T* x_new = k.out<T>(0);
    ForEach(k.output(0).numel(),
            [=](int64_t i) { x_new[i] = x[i] - rate * (g[i] + decay * x[i]); });
  });
}

GRADWIRE_OP({.name = "Sgd",
             .domain = "gradwire",
             .inputs = 3,
             .attributes = {"norm_coefficient"},
             .infer = [](const OpCall& call) { return InferUpdate(call, 1); },
             .cpu = SgdCpu,
             .differentiable = false,
             .in_place = true});

// ---- gradwire::Momentum (R, T, X, G, V)

void MomentumCpu(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() {
    const Attributes& attributes = k.attributes();
    const T rate = static_cast<T>(Rate(k));
    const T decay = static_cast<T>(attributes.Float("norm_coefficient", 0));
    const T alpha = static_cast<T>(attributes.Float("alpha"));
    const T beta = Count(k) > 0 ? static_cast<T>(attributes.Float("beta")) : T{1};
    const bool nesterov = attributes.Int("nesterov", 0) != 0;
    const T* x = k.in<T>(2);
    const T* g = k.in<T>(3);
    const T* v = k.in<T>(4);
    T* x_new = k.out<T>(0);
    T* v_new = k.out<T>(1);
    ForEach(k.output(0).numel(), [=](int64_t i) {
      const T gradient = g[i] + decay * x[i];
      const T velocity = alpha * v[i] + beta * gradient;
      v_new[i] = velocity;
      x_new[i] = x[i] - rate * (nesterov ? gradient + alpha * velocity : velocity);
    });
  });
}

GRADWIRE_OP({.name = "Momentum",
             .domain = "gradwire",
             .inputs = 5,
             .outputs = 2,
             .attributes = {"alpha", "beta", "nesterov", "norm_coefficient"},
             .infer = InferCounted,
             .cpu = MomentumCpu,
             .differentiable = false,
             .in_place = true});

// ---- gradwire::Adagrad (R, T, X, G, H)

void AdagradCpu(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() {
    const Attributes& attributes = k.attributes();
    const T rate = static_cast<T>(Rate(k) / (1 + Count(k) * attributes.Float("decay_factor", 0)));
    const T decay = static_cast<T>(attributes.Float("norm_coefficient", 0));
    const T epsilon = static_cast<T>(attributes.Float("epsilon", 1e-10));
    const T* x = k.in<T>(2);
    const T* g = k.in<T>(3);
    const T* h = k.in<T>(4);
    T* x_new = k.out<T>(0);
    T* h_new = k.out<T>(1);
    ForEach(k.output(0).numel(), [=](int64_t i) {
      const T gradient = g[i] + decay * x[i];
      const T squares = h[i] + gradient * gradient;
      h_new[i] = squares;
      x_new[i] = x[i] - rate * gradient / (std::sqrt(squares) + epsilon);
    });
  });
}

GRADWIRE_OP({.name = "Adagrad",
             .domain = "gradwire",
             .inputs = 5,
             .outputs = 2,
             .attributes = {"decay_factor", "epsilon", "norm_coefficient"},
             .infer = InferCounted,
             .cpu = AdagradCpu,
             .differentiable = false,
             .in_place = true});

// ---- gradwire::Adam and AdamW (R, T, X, G, V, H)

// X' = after * (before * X - rate * V' / (root_scale * sqrt(H') + epsilon)), G' = G + decay * X.
struct AdamFactors {
  double alpha = 0;
  double beta = 0;
  double epsilon = 0;
  double decay = 0;
  double before = 1;
  double rate = 0;
  double root_scale = 1;
  double after = 1;
};

void RunAdam(KernelContext& k, const AdamFactors& factors) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() {
    const T alpha = static_cast<T>(factors.alpha);
    const T one_minus_alpha = static_cast<T>(1 - factors.alpha);
    const T beta = static_cast<T>(factors.beta);
    const T one_minus_beta = static_cast<T>(1 - factors.beta);
    const T epsilon = static_cast<T>(factors.epsilon);
    const T decay = static_cast<T>(factors.decay);
    const T before = static_cast<T>(factors.before);
    const T rate = static_cast<T>(factors.rate);
    const T root_scale = static_cast<T>(factors.root_scale);
    const T after = static_cast<T>(factors.after);
    const T* x = k.in<T>(2);
    const T* g = k.in<T>(3);
    const T* v = k.in<T>(4);
    const T* h = k.in<T>(5);
    T* x_new = k.out<T>(0);
    T* v_new = k.out<T>(1);
    T* h_new = k.out<T>(2);
    ForEach(k.output(0).numel(), [=](int64_t i) {
      const T gradient = g[i] + decay * x[i];
      const T mean = alpha * v[i] + one_minus_alpha * gradient;
      const T square = beta * h[i] + one_minus_beta * (gradient * gradient);
      v_new[i] = mean;
      h_new[i] = square;
      x_new[i] = after * (before * x[i] - rate * mean / (root_scale * std::sqrt(square) + epsilon));
    });
  });
}

// Bias correction as in Kingma and Ba, algorithm 1, and PyTorch.
AdamFactors CorrectedFactors(const KernelContext& k) {
  const Attributes& attributes = k.attributes();
  AdamFactors factors{.alpha = attributes.Float("alpha", 0.9),
                      .beta = attributes.Float("beta", 0.999),
                      .epsilon = attributes.Float("epsilon", 1e-8)};
  const double step = Count(k) + 1;
  factors.rate = Rate(k) / (1 - std::pow(factors.alpha, step));
  factors.root_scale = 1 / std::sqrt(1 - std::pow(factors.beta, step));
  return factors;
}

void AdamCpu(KernelContext& k) {
  AdamFactors factors = CorrectedFactors(k);
  factors.decay = k.attributes().Float("norm_coefficient", 0);
  RunAdam(k, factors);
}

void AdamWCpu(KernelContext& k) {
  AdamFactors factors = CorrectedFactors(k);
  factors.before = 1 - Rate(k) * k.attributes().Float("norm_coefficient", 0.01);
  RunAdam(k, factors);
}

// ONNX's: T is what the powers are taken to, nothing is corrected at T = 0, and epsilon is added to
// the uncorrected root.
void OnnxAdamCpu(KernelContext& k) {
  const Attributes& attributes = k.attributes();
  AdamFactors factors{.alpha = attributes.Float("alpha", 0.9f),
                      .beta = attributes.Float("beta", 0.999f),
                      .epsilon = attributes.Float("epsilon", 1e-6f),
                      .decay = attributes.Float("norm_coefficient", 0)};
  const double step = Count(k);
  const double correction =
      step > 0 ? std::sqrt(1 - std::pow(factors.beta, step)) / (1 - std::pow(factors.alpha, step))
               : 1;
  factors.rate = Rate(k) * correction;
  factors.after = 1 - attributes.Float("norm_coefficient_post", 0);
  RunAdam(k, factors);
}

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

GRADWIRE_OP(AdamRow("Adam", {"alpha", "beta", "epsilon", "norm_coefficient"}, AdamCpu));
GRADWIRE_OP(AdamRow("AdamW", {"alpha", "beta", "epsilon", "norm_coefficient"}, AdamWCpu));
GRADWIRE_OP(AdamRow("OnnxAdam",
                    {"alpha", "beta", "epsilon", "norm_coefficient", "norm_coefficient_post"},
                    OnnxAdamCpu));

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
