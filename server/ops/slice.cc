// Slice, its adjoint SliceGrad, and ReverseSequence.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/box.h"

namespace gradwire {
namespace {

// ---- Slice

// A slice of every axis: `lengths` elements from `starts`, `steps` apart.
struct Range {
  Dims starts;
  Dims steps;
  Dims lengths;
};

// NumPy's rule for one axis: negative bounds count from the end, and all are clamped.
void SetAxis(Range& range, size_t axis, int64_t extent, int64_t start, int64_t end, int64_t step) {
  if (step == 0) throw Error(reason::kInvalidArgument, "a step must not be 0");
  step = std::max(step, -std::numeric_limits<int64_t>::max());
  const int64_t low = step > 0 ? 0 : -1;
  const auto clamp = [&](int64_t at) {
    return std::clamp(at < 0 ? at + extent : at, low, extent + low);
  };
  start = clamp(start);
  end = clamp(end);
  const int64_t distance = step > 0 ? end - start : start - end;
  range.starts[axis] = start;
  range.steps[axis] = step;
  range.lengths[axis] = distance <= 0 ? 0 : (distance - 1) / std::abs(step) + 1;
}

Range ToRange(const Attributes& attributes, const Dims& dims) {
  const std::vector<int64_t>& starts = attributes.Ints("starts");
  const std::vector<int64_t>& ends = attributes.Ints("ends");
  std::vector<int64_t> axes(starts.size());
  std::iota(axes.begin(), axes.end(), 0);
  axes = attributes.Ints("axes", axes);
  const std::vector<int64_t> steps =
      attributes.Ints("steps", std::vector<int64_t>(starts.size(), 1));
  if (ends.size() != starts.size() || axes.size() != starts.size() ||
      steps.size() != starts.size()) {
    throw Error(reason::kInvalidArgument,
                fmt::format("{} starts, {} ends, {} axes and {} steps: counts differ",
                            starts.size(), ends.size(), axes.size(), steps.size()));
  }
  const auto rank = static_cast<int>(dims.size());
  NormalizeAxes(axes, rank);  // throws where one comes twice
  Range range{Dims(dims.size(), 0), Dims(dims.size(), 1), dims};
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(NormalizeAxis(axes[i], rank));
    SetAxis(range, axis, dims[axis], starts[i], ends[i], steps[i]);
  }
  return range;
}

// The range inside an array of `dims` as strides, and the offset of its first element.
Dims StridesInside(const Range& range, const Dims& dims, int64_t& offset) {
  Dims strides = Strides(dims);
  offset = 0;
  for (size_t d = 0; d < dims.size(); ++d) {
    offset += range.starts[d] * strides[d];
    strides[d] *= range.lengths[d] > 1 ? range.steps[d] : 1;
  }
  return strides;
}

Specs InferSlice(const OpCall& call) {
  return {{call.dtype(0), ToRange(call.attributes(), call.dims(0)).lengths}};
}

void SliceCpu(KernelContext& k) {
  const Tensor& x = k.input(0);
  const Range range = ToRange(k.attributes(), x.dims());
  int64_t offset = 0;
  const Dims strides = StridesInside(range, x.dims(), offset);
  CopyBox({range.lengths, strides, Strides(range.lengths)}, x.dtype(), k.in<void>(0), offset,
          k.out<void>(0), 0);
}

Values SliceVjp(const VjpCall& call) {
  Attributes attributes = call.attributes();
  attributes.Set("shape", ToVector(call.input_spec(0).dims));
  return {Call("gradwire::SliceGrad", {call.dy()}, std::move(attributes))};
}

// Zeros of `shape` with the input written where Slice with the same attributes would read.
Specs InferSliceGrad(const OpCall& call) {
  const std::vector<int64_t>& shape = call.attributes().Ints("shape");
  const Dims dims(shape.begin(), shape.end());
  const Dims lengths = ToRange(call.attributes(), dims).lengths;
  if (call.dims(0) != lengths) {
    throw Error(reason::kShapeMismatch,
                fmt::format("input is {}, the slice of {} is {}", ToString(call.spec(0)),
                            ToString(dims), ToString(lengths)));
  }
  return {{call.dtype(0), dims}};
}

void SliceGradCpu(KernelContext& k) {
  const Dims& dims = k.output(0).dims();
  const Range range = ToRange(k.attributes(), dims);
  int64_t offset = 0;
  const Dims strides = StridesInside(range, dims, offset);
  const DType dtype = k.output(0).dtype();
  FillElements(k.out<void>(0), k.output(0).numel(), dtype, kZeroElement);
  CopyBox({range.lengths, Strides(range.lengths), strides}, dtype, k.in<void>(0), 0, k.out<void>(0),
          offset);
}

Values SliceGradVjp(const VjpCall& call) {
  Attributes attributes;
  for (const auto& [name, value] : call.attributes().entries()) {
    if (name != "shape") attributes.Set(name, value);
  }
  return {Call("gradwire::Slice", {call.dy()}, std::move(attributes))};
}

GRADWIRE_OP({.name = "Slice",
             .domain = "gradwire",
             .types = kMoved,
             .attributes = {"starts", "ends", "axes", "steps"},
             .infer = InferSlice,
             .cpu = SliceCpu,
             .vjp = SliceVjp});
GRADWIRE_OP({.name = "SliceGrad",
             .domain = "gradwire",
             .types = kDense,
             .attributes = {"starts", "ends", "axes", "steps", "shape"},
             .infer = InferSliceGrad,
             .cpu = SliceGradCpu,
             .vjp = SliceGradVjp});

GRADWIRE_OP({.name = "Slice",
             .since = 1,
             .types = kMoved,
             .attributes = {"starts", "ends", "axes"},
             .decompose = [](const OpCall& call) -> Values {
               return {Call("gradwire::Slice", {call.input(0)}, call.attributes())};
             }});
GRADWIRE_OP({.name = "Slice",
             .since = 10,
             .inputs = {3, 5},
             .types = kMoved,
             .decompose = [](const OpCall& call) -> Values {
               Attributes attributes{{"starts", call.Ints(1)}, {"ends", call.Ints(2)}};
               if (call.has(3)) attributes.Set("axes", call.Ints(3));
               if (call.has(4)) attributes.Set("steps", call.Ints(4));
               return {Call("gradwire::Slice", {call.input(0)}, std::move(attributes))};
             }});

// ---- ReverseSequence: a permutation that is its own inverse, so its own derivative too

Specs InferReverseSequence(const OpCall& call) {
  const int64_t batch = call.attributes().Int("batch_axis", 1);
  const int64_t time = call.attributes().Int("time_axis", 0);
  if (call.rank(0) < 2 || batch + time != 1 || batch * time != 0) {
    throw Error(reason::kInvalidArgument,
                fmt::format("input is {}, batch_axis {}, time_axis {}: rank must be at least 2, "
                            "and the axes 0 and 1",
                            ToString(call.spec(0)), batch, time));
  }
  if (call.dims(1) != Dims{call.dims(0)[size_t(batch)]}) {
    throw Error(
        reason::kShapeMismatch,
        fmt::format("input is {}, sequence_lens {}: one length for each of {} is expected",
                    ToString(call.spec(0)), ToString(call.spec(1)), call.dims(0)[size_t(batch)]));
  }
  if (call.dtype(1) != DType::kInt64) {
    throw Error(reason::kDtypeMismatch,
                fmt::format("sequence_lens must be int64, got {}", ToString(call.spec(1))));
  }
  return {call.spec(0)};
}

void ReverseSequenceCpu(KernelContext& k) {
  const Tensor& x = k.input(0);
  const auto batch = static_cast<size_t>(k.attributes().Int("batch_axis", 1));
  const size_t time = 1 - batch;
  const Dims strides = Strides(x.dims());
  const int64_t extent = x.dims()[time];
  const int64_t* lengths = k.in<int64_t>(1);
  for (int64_t b = 0; b < x.dims()[batch]; ++b) {
    if (lengths[b] < 0 || lengths[b] > extent) {
      throw Error(reason::kInvalidArgument,
                  fmt::format("sequence length {} is outside [0, {}]", lengths[b], extent));
    }
  }
  const int64_t inner = SplitAt(x.dims(), 1).inner;
  const int64_t stride = strides[time];
  for (int64_t b = 0; b < x.dims()[batch]; ++b) {
    const int64_t n = lengths[b];
    const int64_t start = b * strides[batch];
    CopyBox({{n, inner}, {-stride, 1}, {stride, 1}}, x.dtype(), k.in<void>(0),
            start + (n - 1) * stride, k.out<void>(0), start);
    CopyBox({{extent - n, inner}, {stride, 1}, {stride, 1}}, x.dtype(), k.in<void>(0),
            start + n * stride, k.out<void>(0), start + n * stride);
  }
}

GRADWIRE_OP({.name = "ReverseSequence",
             .since = 10,
             .inputs = 2,
             .types = kMoved,
             .attributes = {"batch_axis", "time_axis"},
             .infer = InferReverseSequence,
             .cpu = ReverseSequenceCpu,
             .vjp = [](const VjpCall& call) -> Values {
               return {Call("ReverseSequence", {call.dy(), call.input(1)}, call.attributes())};
             },
             .saves = {.inputs = 0b10}});

}  // namespace
}  // namespace gradwire
