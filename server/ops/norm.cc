// Normalisations that are formulas: by a norm, by mean and deviation over any axes, by neighbours.
#include <fmt/format.h>

#include <algorithm>

#include "graph/formula.h"

namespace gradwire {
namespace {

// Where the norm is 0 the result is 0, and its gradient that of dividing by 1.
Values DecomposeLpNormalization(const OpCall& call) {
  const Value x = call.input(0);
  const Dims axis{call.Axis("axis", -1)};
  const int64_t p = call.attributes().Int("p", 2);
  if (p != 1 && p != 2) {
    throw Error(reason::kInvalidArgument, fmt::format("p is {}, expected 1 or 2", p));
  }
  const Value sum = Sum(p == 1 ? Abs(x) : Square(x), axis, true);
  const Value safe = Where(Equal(sum, 0.0), Scalar(1, x.dtype()), sum);
  return {x / (p == 1 ? safe : Sqrt(safe))};
}

Values DecomposeMeanVariance(const OpCall& call) {
  constexpr double kEpsilon = 1e-9;
  const Value x = call.input(0);
  const Dims axes = NormalizeAxes(call.attributes().Ints("axes", {0, 2, 3}), x.rank());
  const Value deviation = x - Mean(x, axes, true);
  return {deviation / (Sqrt(Mean(Square(deviation), axes, true)) + kEpsilon)};
}

// The sum over each element's `size` neighbours along axis 1; there are none beyond the channels.
Value SumNeighbours(const Value& x, int64_t size) {
  Dims padding = x.dims();
  const int64_t channels = padding[1];
  if (channels == 0) return x;
  const int64_t before = std::min((size - 1) / 2, channels - 1);
  const int64_t after = std::min(size - 1 - (size - 1) / 2, channels - 1);
  Values parts;
  const auto pad = [&](int64_t count) {
    padding[1] = count;
    if (count > 0) parts.push_back(Full(padding, 0.0, x.dtype()));
  };
  pad(before);
  parts.push_back(x);
  pad(after);
  const Value padded = Concat(parts, 1);
  Value sum = Slice(padded, {0}, {channels}, {1}, {1});
  for (int64_t i = 1; i <= before + after; ++i)
    sum = sum + Slice(padded, {i}, {i + channels}, {1}, {1});
  return sum;
}

Values DecomposeLrn(const OpCall& call) {
  const Value x = call.input(0);
  const int64_t size = call.attributes().Int("size");
  if (x.rank() < 2) {
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, expected batch and channels", ToString(x.spec())));
  }
  if (size < 1) {
    throw Error(reason::kInvalidArgument, fmt::format("size is {}, expected 1 or more", size));
  }
  const double alpha = call.attributes().Float("alpha", 1e-4f);
  const double beta = call.attributes().Float("beta", 0.75);
  const double bias = call.attributes().Float("bias", 1.0);
  const Value sum = SumNeighbours(Square(x), size);
  return {x * Pow(bias + sum * (alpha / static_cast<double>(size)), -beta)};
}

GRADWIRE_OP({.name = "LpNormalization",
             .attributes = {"axis", "p"},
             .decompose = DecomposeLpNormalization});
GRADWIRE_OP({.name = "MeanVarianceNormalization",
             .since = 9,
             .attributes = {"axes"},
             .decompose = DecomposeMeanVariance});
GRADWIRE_OP({.name = "LRN",
             .attributes = {"alpha", "beta", "bias", "size"},
             .decompose = DecomposeLrn});

}  // namespace
}  // namespace gradwire
