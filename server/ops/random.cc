// Random arrays. All draw from gradwire::Uniform and gradwire::Normal, whose seed is an input: the
// same seed gives the same numbers on any number of threads, and a new seed needs no new plan.
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <numbers>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/philox.h"

namespace gradwire {
namespace {

using RandomTypes = TypeList<float, double, Float16, BFloat16>;
constexpr int64_t kGrain = 1 << 12;  // blocks

// ---- gradwire::Uniform (seed) {dtype, shape, low, high}, gradwire::Normal {..., mean, scale}

Specs InferRandom(const OpCall& call) {
  if (call.spec(0).numel() != 1) {
    throw Error(reason::kShapeMismatch,
                fmt::format("a seed has one element, got {}", ToString(call.spec(0))));
  }
  const DType dtype = DTypeFromCode(static_cast<int>(call.attributes().Int("dtype")));
  if (!(kFloats | kHalves).Contains(dtype)) {
    throw Error(reason::kOpUnsupported, fmt::format("random {} is not supported; supported: {}",
                                                    Name(dtype), (kFloats | kHalves).ToString()));
  }
  const std::vector<int64_t>& shape = call.attributes().Ints("shape");
  return {{dtype, {shape.begin(), shape.end()}}};
}

// Fills the output with numbers made by draw(uniforms), which turns uniform numbers in [0, 1) into
// as many others. Type R is what is computed in.
template <class R, class T, class F>
void Fill(KernelContext& k, F draw) {
  constexpr int64_t kPerBlock = 16 / int64_t{sizeof(R)};
  const auto seed = static_cast<uint64_t>(*k.in<int64_t>(0));
  const int64_t n = k.output(0).numel();
  T* y = k.out<T>(0);
  ParallelFor((n + kPerBlock - 1) / kPerBlock, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const PhiloxBlock bits = Philox(static_cast<uint64_t>(b), seed);
      std::array<R, kPerBlock> numbers;
      if constexpr (kPerBlock == 4) {
        for (size_t i = 0; i < 4; ++i) numbers[i] = ToUniform(bits[i]);
      } else {
        numbers = {ToUniform(bits[0], bits[1]), ToUniform(bits[2], bits[3])};
      }
      draw(numbers);
      const int64_t first = b * kPerBlock;
      for (int64_t i = 0; i < std::min(kPerBlock, n - first); ++i) {
        y[first + i] = static_cast<T>(numbers[static_cast<size_t>(i)]);
      }
    }
  });
}

template <class T>
using ComputeType = std::conditional_t<std::is_same_v<T, double>, double, float>;

void UniformCpu(KernelContext& k) {
  Dispatch(RandomTypes{}, k.output(0).dtype(), [&]<class T>() {
    using R = ComputeType<T>;
    const R low = static_cast<R>(k.attributes().Float("low", 0));
    const R width = static_cast<R>(k.attributes().Float("high", 1)) - low;
    Fill<R, T>(k, [=](auto& numbers) {
      for (R& x : numbers) x = low + width * x;
    });
  });
}

// Box and Muller's transform, which makes two normal numbers of two uniform ones.
void NormalCpu(KernelContext& k) {
  Dispatch(RandomTypes{}, k.output(0).dtype(), [&]<class T>() {
    using R = ComputeType<T>;
    const R mean = static_cast<R>(k.attributes().Float("mean", 0));
    const R scale = static_cast<R>(k.attributes().Float("scale", 1));
    Fill<R, T>(k, [=](auto& numbers) {
      for (size_t i = 0; i < numbers.size(); i += 2) {
        const R radius = scale * std::sqrt(-2 * std::log(1 - numbers[i]));
        const R angle = 2 * std::numbers::pi_v<R> * numbers[i + 1];
        numbers[i] = mean + radius * std::cos(angle);
        numbers[i + 1] = mean + radius * std::sin(angle);
      }
    });
  });
}

GRADWIRE_OP({.name = "Uniform",
             .domain = "gradwire",
             .types = DType::kInt64,
             .attributes = {"dtype", "shape", "low", "high"},
             .infer = InferRandom,
             .cpu = UniformCpu,
             .differentiable = false});
GRADWIRE_OP({.name = "Normal",
             .domain = "gradwire",
             .types = DType::kInt64,
             .attributes = {"dtype", "shape", "mean", "scale"},
             .infer = InferRandom,
             .cpu = NormalCpu,
             .differentiable = false});

// ---- ONNX's rows

// The attribute `seed`, a float, as the integer of the same bits; one of the session's without it.
Value SeedOf(const OpCall& call) {
  const bool given = call.attributes().Has("seed");
  const uint64_t seed = given ? std::bit_cast<uint64_t>(call.attributes().Float("seed"))
                              : Trace::Current().NextSeed();
  return IntVector(std::array{static_cast<int64_t>(seed)});
}

// The element type asked for: the attribute, else the input's, else float32.
int64_t TypeOf(const OpCall& call) {
  const DType otherwise = call.num_inputs() > 0 ? call.dtype(0) : DType::kFloat32;
  return call.attributes().Int("dtype", static_cast<int>(otherwise));
}

std::vector<int64_t> ShapeOf(const OpCall& call) {
  return call.num_inputs() > 0 ? ToVector(call.dims(0)) : call.attributes().Ints("shape");
}

Values DecomposeUniform(const OpCall& call) {
  return {Call("gradwire::Uniform", {SeedOf(call)},
               {{"dtype", TypeOf(call)},
                {"shape", ShapeOf(call)},
                {"low", call.attributes().Float("low", 0)},
                {"high", call.attributes().Float("high", 1)}})};
}

Values DecomposeNormal(const OpCall& call) {
  return {Call("gradwire::Normal", {SeedOf(call)},
               {{"dtype", TypeOf(call)},
                {"shape", ShapeOf(call)},
                {"mean", call.attributes().Float("mean", 0)},
                {"scale", call.attributes().Float("scale", 1)}})};
}

// 1 with probability x, else 0.
Values DecomposeBernoulli(const OpCall& call) {
  const Value uniform = Call(
      "gradwire::Uniform", {SeedOf(call)},
      {{"dtype", int64_t{static_cast<int>(call.dtype(0))}}, {"shape", ToVector(call.dims(0))}});
  const Value ones = Less(uniform, call.input(0));
  return {Cast(ones, DTypeFromCode(static_cast<int>(TypeOf(call))))};
}

// Gumbel's trick: adding independent Gumbel noise to log-probabilities and taking the largest draws
// from them.
Values DecomposeMultinomial(const OpCall& call) {
  if (call.rank(0) != 2) {
    throw Error(reason::kShapeMismatch,
                fmt::format("input is {}, [batch,classes] is expected", ToString(call.spec(0))));
  }
  const int64_t batch = call.dims(0)[0];
  const int64_t classes = call.dims(0)[1];
  const int64_t samples = call.attributes().Int("sample_size", 1);
  const Value uniform = Call("gradwire::Uniform", {SeedOf(call)},
                             {{"dtype", int64_t{static_cast<int>(call.dtype(0))}},
                              {"shape", std::vector<int64_t>{batch, samples, classes}}});
  const Value noisy = Reshape(call.input(0), {batch, 1, classes}) - Log(-Log(uniform));
  const Value drawn = Call("ArgMax", {noisy}, {{"axis", int64_t{2}}, {"keepdims", int64_t{0}}});
  const int64_t dtype = call.attributes().Int("dtype", static_cast<int>(DType::kInt32));
  return {Cast(drawn, DTypeFromCode(static_cast<int>(dtype)))};
}

OpDef Row(std::string_view name, int since, Arity inputs, std::vector<std::string_view> attributes,
          Decompose decompose) {
  return {.name = name,
          .since = since,
          .inputs = inputs,
          .types = inputs.max == 0 ? kFloats | kHalves : kDense,
          .attributes = std::move(attributes),
          .decompose = decompose,
          .differentiable = false,
          .stops_gradient = true};
}

GRADWIRE_OP(Row("RandomUniform", 1, 0, {"dtype", "high", "low", "seed", "shape"},
                DecomposeUniform));
GRADWIRE_OP(Row("RandomUniformLike", 1, 1, {"dtype", "high", "low", "seed"}, DecomposeUniform));
GRADWIRE_OP(Row("RandomNormal", 1, 0, {"dtype", "mean", "scale", "seed", "shape"},
                DecomposeNormal));
GRADWIRE_OP(Row("RandomNormalLike", 1, 1, {"dtype", "mean", "scale", "seed"}, DecomposeNormal));

GRADWIRE_OP({.name = "Bernoulli",
             .since = 15,
             .attributes = {"dtype", "seed"},
             .decompose = DecomposeBernoulli,
             .differentiable = false,
             .stops_gradient = true});
GRADWIRE_OP({.name = "Multinomial",
             .since = 7,
             .attributes = {"dtype", "sample_size", "seed"},
             .decompose = DecomposeMultinomial,
             .differentiable = false,
             .stops_gradient = true});

}  // namespace
}  // namespace gradwire
