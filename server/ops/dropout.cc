// Dropout. With the attribute `seed` the mask is the one that ONNX's reference draws from NumPy's
// legacy generator; without it, a counter-based one with a seed of the session's.
#include "ops/dropout.h"

#include <fmt/format.h>

#include <random>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/philox.h"

namespace gradwire {

double KeptScale(const Attributes& attributes) {
  const double ratio = attributes.Float("ratio");
  return ratio < 1 ? 1 / (1 - ratio) : 0;
}

void DrawNumpyMask(uint64_t seed, double ratio, int64_t n, bool* mask) {
  std::mt19937 generator(static_cast<uint32_t>(seed));
  for (int64_t i = 0; i < n; ++i) {
    const double a = generator() >> 5;
    const double b = generator() >> 6;
    mask[i] = (a * 67108864 + b) / 9007199254740992 >= ratio;
  }
}

namespace {

// ---- gradwire::Dropout (x, seed) {ratio, numpy} -> y, mask

Specs InferDropout(const OpCall& call) {
  const double ratio = call.attributes().Float("ratio");
  if (!(ratio >= 0 && ratio <= 1)) {
    throw Error(reason::kInvalidArgument, fmt::format("ratio is {}, must be in [0, 1]", ratio));
  }
  if (call.dtype(1) != DType::kInt64 || call.spec(1).numel() != 1) {
    throw Error(reason::kShapeMismatch,
                fmt::format("a seed is one int64, got {}", ToString(call.spec(1))));
  }
  return {call.spec(0), {DType::kBool, call.dims(0)}};
}

void DrawMask(uint64_t seed, double ratio, int64_t n, bool* mask) {
  const auto threshold = static_cast<float>(ratio);
  ParallelFor((n + 3) / 4, 1 << 12, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const PhiloxBlock bits = Philox(static_cast<uint64_t>(b), seed);
      const int64_t count = std::min<int64_t>(4, n - 4 * b);
      for (int64_t i = 0; i < count; ++i) {
        mask[4 * b + i] = ToUniform(bits[static_cast<size_t>(i)]) >= threshold;
      }
    }
  });
}

void DropoutCpu(KernelContext& k) {
  const int64_t n = k.output(0).numel();
  const double ratio = k.attributes().Float("ratio");
  const auto seed = static_cast<uint64_t>(*k.in<int64_t>(1));
  bool* mask = k.out<bool>(1);
  if (k.attributes().Int("numpy", 0) != 0) {
    DrawNumpyMask(seed, ratio, n, mask);
  } else {
    DrawMask(seed, ratio, n, mask);
  }
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() {
    const T scale = static_cast<T>(KeptScale(k.attributes()));
    const T* x = k.in<T>(0);
    T* y = k.out<T>(0);
    ParallelFor(n, 1 << 14, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = mask[i] ? x[i] * scale : T{0};
    });
  });
}

Values DropoutVjp(const VjpCall& call) {
  const Value scaled = call.dy() * KeptScale(call.attributes());
  return {Where(call.output(1), scaled, Scalar(0, scaled.dtype()))};
}

GRADWIRE_OP({.name = "Dropout",
             .domain = "gradwire",
             .inputs = 2,
             .outputs = {1, 2},
             .attributes = {"numpy", "ratio"},
             .infer = InferDropout,
             .cpu = DropoutCpu,
             .vjp = DropoutVjp,
             .saves = {.outputs = 0b10},
             .in_place = true});

// ---- ONNX's rows

Values Drop(const OpCall& call, double ratio) {
  const bool given = call.attributes().Has("seed");
  const int64_t seed =
      given ? call.attributes().Int("seed") : static_cast<int64_t>(Trace::Current().NextSeed());
  return ApplyAll("gradwire::Dropout", {call.input(0), IntVector(std::array{seed})},
                  {{"ratio", ratio}, {"numpy", int64_t{given}}}, 2);
}

Values Keep(const OpCall& call) {
  Values outputs = {Call("Identity", {call.input(0)})};
  if (call.num_outputs() > 1) outputs.push_back(Full(call.dims(0), 1, DType::kBool));
  return outputs;
}

// `ratio` is an attribute; the mask is of the input's type before opset 10. Training is told by
// `is_test` up to opset 6, and there is none after that.
Values DecomposeDropout1(const OpCall& call) {
  const bool trains = call.op().since < 7 && call.attributes().Int("is_test", 0) == 0;
  Values outputs = trains ? Drop(call, call.attributes().Float("ratio", 0.5)) : Keep(call);
  if (call.num_outputs() > 1 && call.op().since < 10) {
    outputs[1] = Cast(outputs[1], call.dtype(0));
  }
  return outputs;
}

Values DecomposeDropout12(const OpCall& call) {
  const double ratio = call.has(1) ? call.Scalar(1) : 0.5;
  const bool trains = call.has(2) && call.Scalar(2) != 0;
  return trains && ratio != 0 ? Drop(call, ratio) : Keep(call);
}

GRADWIRE_OP({.name = "Dropout",
             .since = 1,
             .outputs = {1, 2},
             .attributes = {"consumed_inputs", "is_test", "ratio"},
             .decompose = DecomposeDropout1});
GRADWIRE_OP({.name = "Dropout",
             .since = 6,
             .outputs = {1, 2},
             .attributes = {"is_test", "ratio"},
             .decompose = DecomposeDropout1});
GRADWIRE_OP({.name = "Dropout",
             .since = 7,
             .outputs = {1, 2},
             .attributes = {"ratio"},
             .decompose = DecomposeDropout1});
GRADWIRE_OP({.name = "Dropout",
             .since = 10,
             .outputs = {1, 2},
             .attributes = {"ratio"},
             .decompose = DecomposeDropout1});
GRADWIRE_OP({.name = "Dropout",
             .since = 12,
             .inputs = {1, 3},
             .outputs = {1, 2},
             .attributes = {"seed"},
             .decompose = DecomposeDropout12});

}  // namespace
}  // namespace gradwire
