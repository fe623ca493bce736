// Concat and Split, each the other's derivative.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <numeric>

#include "core/parallel.h"
#include "graph/channels_last.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/box.h"

namespace gradwire {
namespace {

// ---- Concat

Specs InferConcat(const OpCall& call) {
  const int axis = call.Axis("axis", call.op().since < 4 ? 1 : 0);
  TensorSpec spec = call.spec(0);
  for (size_t i = 1; i < call.num_inputs(); ++i) {
    if (!call.has(i)) throw Error(reason::kInvalidArgument, fmt::format("input {} is absent", i));
    call.RequireSameType(i);
    Dims expected = spec.dims;
    if (call.rank(i) == spec.rank()) expected[size_t(axis)] = call.dims(i)[size_t(axis)];
    if (call.dims(i) != expected) {
      throw Error(reason::kShapeMismatch,
                  fmt::format("input 0 is {}, input {} is {}: they must agree but for axis {}",
                              ToString(call.spec(0)), i, ToString(call.spec(i)), axis));
    }
    spec.dims[size_t(axis)] += call.dims(i)[size_t(axis)];
  }
  return {spec};
}

void ConcatKernel(KernelContext& k) {
  const Tensor& y = k.output(0);
  // Every input has the axis at the same place; the lookup needs no row: absent means 1 (Concat-1).
  const int axis = NormalizeAxis(k.attributes().Int("axis", 1), y.rank());
  const AxisSplit whole = SplitAt(y.dims(), axis);
  int64_t start = 0;
  for (size_t i = 0; i < k.num_inputs(); ++i) {
    const int64_t run = k.input(i).dims()[size_t(axis)] * whole.inner;
    CopyBox(k, {{whole.outer, run}, {run, 1}, {whole.axis * whole.inner, 1}}, y.dtype(),
            k.in<void>(i), 0, k.out<void>(0), start);
    start += run;
  }
}

// Row by row of the output, where there are many: each page of it is written once, in order.
void ConcatCpu(KernelContext& k) {
  constexpr int64_t kManyRows = 256;
  constexpr int64_t kWorthACall = 16;  // bytes of an input's part of a row, on average
  constexpr int64_t kGrainBytes = 1 << 16;
  const Tensor& y = k.output(0);
  const int axis = NormalizeAxis(k.attributes().Int("axis", 1), y.rank());
  const AxisSplit whole = SplitAt(y.dims(), axis);
  const int64_t row = y.bytes() / std::max<int64_t>(1, whole.outer);
  const auto inputs = static_cast<int64_t>(k.num_inputs());
  if (whole.outer < kManyRows || row < inputs * kWorthACall) return ConcatKernel(k);
  ParallelFor(whole.outer, 1 + kGrainBytes / row, [&](int64_t begin, int64_t end) {
    auto* to = static_cast<std::byte*>(k.out<void>(0)) + begin * row;
    for (int64_t r = begin; r < end; ++r) {
      for (size_t i = 0; i < k.num_inputs(); ++i) {
        const auto run = static_cast<size_t>(k.input(i).bytes() / whole.outer);
        const auto* from = static_cast<const std::byte*>(k.in<void>(i));
        std::memcpy(to, from + static_cast<size_t>(r) * run, run);
        to += run;
      }
    }
  });
}

Attributes MoveAxis(const Attributes& attributes, int rank) {
  const int axis = NormalizeAxis(attributes.Int("axis", 1), rank);
  return {{"axis", int64_t{axis == 0 ? 0 : axis == 1 ? rank - 1 : axis - 1}}};
}
constexpr ChannelsLast kChannelsLast = {.images = ~0u, .attributes = MoveAxis};

uint32_t SamplesOfConcat(const Attributes& attributes, int rank) {
  return NormalizeAxis(attributes.Int("axis", 1), rank) == 0 ? 0 : ~0u;
}

Values ConcatVjp(const VjpCall& call) {
  const int rank = call.output_spec(0).rank();
  const int axis = NormalizeAxis(call.attributes().Int("axis", 1), rank);
  std::vector<int64_t> split;
  for (size_t i = 0; i < call.num_inputs(); ++i) {
    split.push_back(call.input_spec(i).dims[size_t(axis)]);
  }
  const auto parts = static_cast<int>(split.size());
  return ApplyAll("gradwire::Split", {call.dy()},
                  {{"axis", int64_t{axis}}, {"split", std::move(split)}}, parts);
}

GRADWIRE_OP({.name = "Concat",
             .since = 1,
             .inputs = {1, kVariadic},
             .types = kMoved,
             .attributes = {"axis"},
             .infer = InferConcat,
             .cpu = ConcatCpu,
             .cuda = ConcatKernel,
             .vjp = ConcatVjp,
             .samples = SamplesOfConcat,
             .channels_last = &kChannelsLast});
GRADWIRE_OP({.name = "Concat",
             .since = 4,
             .inputs = {1, kVariadic},
             .types = kMoved,
             .attributes = {"axis"},
             .infer =
                 [](const OpCall& call) {
                   call.attributes().Int("axis");  // required from here on
                   return InferConcat(call);
                 },
             .cpu = ConcatCpu,
             .cuda = ConcatKernel,
             .vjp = ConcatVjp,
             .samples = SamplesOfConcat,
             .channels_last = &kChannelsLast});

// ---- Split

Specs InferSplit(const OpCall& call) {
  const int axis = call.Axis("axis", 0);
  const std::vector<int64_t>& split = call.attributes().Ints("split");
  const int64_t extent = call.dims(0)[size_t(axis)];
  const bool negative = std::any_of(split.begin(), split.end(), [](int64_t n) { return n < 0; });
  if (negative || std::accumulate(split.begin(), split.end(), int64_t{0}) != extent) {
    throw Error(reason::kShapeMismatch,
                fmt::format("input is {}: parts of {} do not make {} along axis {}",
                            ToString(call.spec(0)), ToString(split), extent, axis));
  }
  Specs specs;
  for (const int64_t length : split) {
    specs.push_back(call.spec(0));
    specs.back().dims[size_t(axis)] = length;
  }
  return specs;
}

void SplitKernel(KernelContext& k) {
  const Tensor& x = k.input(0);
  const int axis = NormalizeAxis(k.attributes().Int("axis", 0), x.rank());
  const AxisSplit whole = SplitAt(x.dims(), axis);
  int64_t start = 0;
  for (size_t i = 0; i < k.num_outputs(); ++i) {
    const int64_t run = k.output(i).dims()[size_t(axis)] * whole.inner;
    CopyBox(k, {{whole.outer, run}, {whole.axis * whole.inner, 1}, {run, 1}}, x.dtype(),
            k.in<void>(0), start, k.out<void>(i), 0);
    start += run;
  }
}

Values SplitVjp(const VjpCall& call) {
  Values parts;
  for (size_t i = 0; i < call.num_outputs(); ++i) parts.push_back(call.dy(i));
  return {Concat(parts, static_cast<int>(call.attributes().Int("axis", 0)))};
}

GRADWIRE_OP({.name = "Split",
             .domain = "gradwire",
             .outputs = {1, kVariadic},
             .types = kMoved,
             .attributes = {"axis", "split"},
             .infer = InferSplit,
             .cpu = SplitKernel,
             .cuda = SplitKernel,
             .vjp = SplitVjp});

// Lengths of `parts` equal parts; the last may be shorter where the opset allows it.
std::vector<int64_t> EqualParts(int64_t extent, int64_t parts, bool uneven) {
  if (parts < 1 || (!uneven && extent % parts != 0)) {
    throw Error(reason::kShapeMismatch,
                fmt::format("an extent of {} does not divide into {} equal parts", extent, parts));
  }
  const int64_t length = (extent + parts - 1) / parts;
  std::vector<int64_t> split(static_cast<size_t>(parts), length);
  split.back() = extent - length * (parts - 1);
  return split;
}

Values SplitBy(const OpCall& call, std::vector<int64_t> split) {
  const int axis = call.Axis("axis", 0);
  if (static_cast<size_t>(call.num_outputs()) > split.size()) {
    throw Error(reason::kInvalidArgument, fmt::format("makes {} parts, {} outputs are asked for",
                                                      split.size(), call.num_outputs()));
  }
  const auto parts = static_cast<int>(split.size());
  Values outputs = ApplyAll("gradwire::Split", {call.input(0)},
                            {{"axis", int64_t{axis}}, {"split", std::move(split)}}, parts);
  outputs.resize(static_cast<size_t>(call.num_outputs()));
  return outputs;
}

// The lengths are the attribute `split` or, in opset 1, input 1; equal ones where neither is given.
Values DecomposeSplit1(const OpCall& call) {
  if (call.attributes().Has("split")) return SplitBy(call, call.attributes().Ints("split"));
  if (call.has(1)) {
    const Value lengths = Cast(call.input(1), DType::kInt64);
    const Values inputs = {call.input(0), lengths};
    return SplitBy(call, OpCall(call.op(), inputs, call.attributes(), 1).Ints(1));
  }
  const int64_t extent = call.dims(0)[size_t(call.Axis("axis", 0))];
  return SplitBy(call, EqualParts(extent, call.num_outputs(), /*uneven=*/false));
}

Values DecomposeSplit13(const OpCall& call) {
  const bool has_count = call.attributes().Has("num_outputs");
  if (call.has(1)) {
    if (has_count) {
      throw Error(reason::kInvalidArgument, "takes `split` or num_outputs, not both");
    }
    return SplitBy(call, call.Ints(1));
  }
  const int64_t extent = call.dims(0)[size_t(call.Axis("axis", 0))];
  const int64_t parts = call.attributes().Int("num_outputs", call.num_outputs());
  // Each part but the last few holds an element, or all are empty.
  if (parts > std::max<int64_t>(extent, call.num_outputs())) {
    throw Error(reason::kShapeMismatch,
                fmt::format("an extent of {} does not divide into {} parts", extent, parts));
  }
  return SplitBy(call, EqualParts(extent, parts, /*uneven=*/call.op().since >= 18));
}

GRADWIRE_OP({.name = "Split",
             .since = 1,
             .inputs = {1, 2},
             .outputs = {1, kVariadic},
             .types = kMoved,
             .attributes = {"axis", "split"},
             .decompose = DecomposeSplit1});
GRADWIRE_OP({.name = "Split",
             .since = 2,
             .outputs = {1, kVariadic},
             .types = kMoved,
             .attributes = {"axis", "split"},
             .decompose = DecomposeSplit1});
GRADWIRE_OP({.name = "Split",
             .since = 13,
             .inputs = {1, 2},
             .outputs = {1, kVariadic},
             .types = kMoved,
             .attributes = {"axis"},
             .decompose = DecomposeSplit13});
GRADWIRE_OP({.name = "Split",
             .since = 18,
             .inputs = {1, 2},
             .outputs = {1, kVariadic},
             .types = kMoved,
             .attributes = {"axis", "num_outputs"},
             .decompose = DecomposeSplit13});

}  // namespace
}  // namespace gradwire
