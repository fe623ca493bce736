// Repetition along axes of extent 1. gradwire::Expand and gradwire::ReduceSum are each other's
// adjoints.
#include <fmt/format.h>

#include <algorithm>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/strided.h"

namespace gradwire {
namespace {

Specs InferExpand(const OpCall& call) {
  const std::vector<int64_t>& shape = call.attributes().Ints("shape");
  const TensorSpec spec{call.dtype(0), Dims(shape.begin(), shape.end())};
  if (BroadcastDims(call.dims(0), spec.dims) != spec.dims) {
    throw Error(reason::kShapeMismatch, fmt::format("{} does not broadcast to {}",
                                                    ToString(call.spec(0)), ToString(shape)));
  }
  return {spec};
}

// Extents of the output and where it is read from, neighbouring axes taken together that are both
// repeated, or both lie in a row. Never empty.
struct Pattern {
  Dims dims;
  Dims strides;
};

Pattern Merge(const Dims& from, const Dims& to) {
  const Dims strides = BroadcastStrides(from, to);
  Pattern pattern;
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i] == 1) continue;
    if (!pattern.dims.empty() && pattern.strides.back() == strides[i] * to[i]) {
      pattern.dims.back() *= to[i];
      pattern.strides.back() = strides[i];
    } else {
      pattern.dims.push_back(to[i]);
      pattern.strides.push_back(strides[i]);
    }
  }
  if (pattern.dims.empty()) return {{1}, {1}};
  return pattern;
}

template <class T>
void ExpandRows(const T* __restrict in, T* __restrict out, Pattern pattern) {
  const int64_t length = pattern.dims.back();
  const bool repeated = pattern.strides.back() == 0;
  pattern.dims.pop_back();
  pattern.strides.pop_back();
  constexpr int64_t kPiece = 1 << 14;
  const int64_t pieces = (length + kPiece - 1) / kPiece;
  const int64_t work = NumElements(pattern.dims) * pieces;
  ParallelFor(work, std::max<int64_t>(1, 2 * kPiece / length), [&](int64_t begin, int64_t end) {
    Odometer row(pattern.dims, pattern.strides, begin / pieces);
    int64_t piece = begin % pieces;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = piece * kPiece;
      const int64_t count = std::min(kPiece, length - first);
      T* to = out + (i / pieces) * length + first;
      if (repeated) {
        std::fill_n(to, count, in[row.offset()]);
      } else {
        std::copy_n(in + row.offset() + first, count, to);
      }
      if (++piece == pieces) {
        piece = 0;
        row.Next();
      }
    }
  });
}

void ExpandKernel(KernelContext& context) {
  if (context.output(0).numel() == 0) return;
  const Pattern pattern = Merge(context.input(0).dims(), context.output(0).dims());
  DispatchWidth(context.input(0).dtype(),
                [&]<class T>() { ExpandRows(context.in<T>(0), context.out<T>(0), pattern); });
}

Values ExpandVjp(const VjpCall& call) { return {SumTo(call.dy(), call.input_spec(0).dims)}; }

GRADWIRE_OP({.name = "Expand",
             .domain = "gradwire",
             .types = kMoved,
             .attributes = {"shape"},
             .infer = InferExpand,
             .cpu = ExpandKernel,
             .vjp = ExpandVjp});

// ONNX's Expand broadcasts both ways: the result may be larger than `shape`.
Values DecomposeExpand(const OpCall& call) {
  return {Expand(call.input(0), BroadcastDims(call.dims(0), call.Ints(1)))};
}

GRADWIRE_OP(
    {.name = "Expand", .since = 8, .inputs = 2, .types = kMoved, .decompose = DecomposeExpand});

// [a, b] tiled by (m, n) is [1, a, 1, b] expanded to [m, a, n, b], read as [m a, n b].
Value Tile(const Value& x, const std::vector<int64_t>& repeats) {
  if (static_cast<int>(repeats.size()) != x.rank()) {
    throw Error(reason::kShapeMismatch, fmt::format("{} repeats for {}: one for each axis expected",
                                                    repeats.size(), ToString(x.spec())));
  }
  Dims apart;
  Dims expanded;
  Dims tiled;
  for (size_t i = 0; i < repeats.size(); ++i) {
    if (repeats[i] < 0) {
      throw Error(reason::kInvalidArgument,
                  fmt::format("repeats {} has a negative count", ToString(repeats)));
    }
    apart.insert(apart.end(), {1, x.dims()[i]});
    expanded.insert(expanded.end(), {repeats[i], x.dims()[i]});
    tiled.push_back(repeats[i] * x.dims()[i]);
  }
  return Reshape(Expand(Reshape(x, apart), expanded), tiled);
}

Values DecomposeTile(const OpCall& call) { return {Tile(call.input(0), call.Ints(1))}; }

// Opset 1 took one count and one axis, in the element type of the input.
Values DecomposeTile1(const OpCall& call) {
  std::vector<int64_t> repeats(static_cast<size_t>(call.rank(0)), 1);
  const auto count = static_cast<int64_t>(call.Scalar(1));
  const auto axis = static_cast<int64_t>(call.Scalar(2));
  repeats[static_cast<size_t>(NormalizeAxis(axis, call.rank(0)))] = count;
  return {Tile(call.input(0), repeats)};
}

GRADWIRE_OP({.name = "Tile", .inputs = 3, .types = kMoved, .decompose = DecomposeTile1});
GRADWIRE_OP({.name = "Tile", .since = 6, .inputs = 2, .types = kMoved, .decompose = DecomposeTile});

}  // namespace
}  // namespace gradwire
