// Counting, and the arrays that comparing counts gives: identity matrices and one-hot vectors.
#include "ops/range.h"

#include <fmt/format.h>

#include <cmath>

#include "core/parallel.h"
#include "graph/kernel.h"

namespace gradwire {
namespace {

Specs InferRange(const OpCall& call) {
  const DType dtype = DTypeFromCode(static_cast<int>(call.attributes().Int("dtype")));
  return {{dtype, {call.attributes().Int("count")}}};
}

// start + i * delta, which wraps.
void RangeKernel(KernelContext& context) {
  Dispatch(TypeList<int16_t, int32_t, int64_t>{}, context.output(0).dtype(), [&]<class T>() {
    T* out = context.out<T>(0);
    const auto start = static_cast<uint64_t>(context.attributes().Int("start"));
    const auto delta = static_cast<uint64_t>(context.attributes().Int("delta"));
    ParallelFor(context.output(0).numel(), 1 << 15, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        out[i] = static_cast<T>(start + static_cast<uint64_t>(i) * delta);
      }
    });
  });
}

constexpr DTypeSet kIntRangeTypes = DTypeSet(DType::kInt16) | DType::kInt32 | DType::kInt64;

GRADWIRE_OP({.name = "Range",
             .domain = "gradwire",
             .inputs = 0,
             .types = kIntRangeTypes,
             .attributes = {"start", "delta", "count", "dtype"},
             .infer = InferRange,
             .cpu = RangeKernel,
             .differentiable = false});

// Differentiable in start and delta. Computed in float64, so that large counts are exact.
Value FloatRange(const OpCall& call) {
  const double start = call.Scalar(0);
  const double limit = call.Scalar(1);
  const double delta = call.Scalar(2);
  const double steps = std::ceil((limit - start) / delta);
  if (!(steps < 0x1p60)) {  // NaN as well
    throw Error(reason::kInvalidArgument,
                fmt::format("from {} to {} by {} never ends", start, limit, delta));
  }
  const auto wide = [&](size_t i) { return Reshape(Cast(call.input(i), DType::kFloat64), {}); };
  const Value counts = Cast(Iota(static_cast<int64_t>(std::max(0.0, steps))), DType::kFloat64);
  return Cast(wide(0) + counts * wide(2), call.dtype(0));
}

Value IntRange(int64_t start, int64_t limit, int64_t delta, DType dtype) {
  if (delta == 0) {
    throw Error(reason::kInvalidArgument,
                fmt::format("from {} to {} by 0 never ends", start, limit));
  }
  const bool runs = delta > 0 ? start < limit : start > limit;
  const auto span = static_cast<uint64_t>(delta > 0 ? limit : start) -
                    static_cast<uint64_t>(delta > 0 ? start : limit);
  const uint64_t step = delta > 0 ? static_cast<uint64_t>(delta) : -static_cast<uint64_t>(delta);
  const uint64_t count = runs ? (span - 1) / step + 1 : 0;
  return Call("gradwire::Range", {},
              {{"start", start},
               {"delta", delta},
               {"count", static_cast<int64_t>(count)},
               {"dtype", int64_t{static_cast<int>(dtype)}}});
}

Values DecomposeRange(const OpCall& call) {
  call.RequireSameType(1);
  call.RequireSameType(2);
  if (kFloats.Contains(call.dtype(0))) return {FloatRange(call)};
  return {IntRange(call.Int(0), call.Int(1), call.Int(2), call.dtype(0))};
}

constexpr DTypeSet kRangeTypes = kFloats | kIntRangeTypes;

GRADWIRE_OP(
    {.name = "Range", .since = 11, .inputs = 3, .types = kRangeTypes, .decompose = DecomposeRange});
// stash_type says what 16-bit floats are computed in, which is float32 without it, too.
GRADWIRE_OP({.name = "Range",
             .since = 27,
             .inputs = 3,
             .types = kRangeTypes,
             .attributes = {"stash_type"},
             .decompose = DecomposeRange});

Values DecomposeEyeLike(const OpCall& call) {
  if (call.rank(0) != 2) {
    throw Error(reason::kShapeMismatch,
                fmt::format("input is {}: rank 2 expected", ToString(call.spec(0))));
  }
  const auto fallback = static_cast<int64_t>(call.dtype(0));
  const DType dtype = DTypeFromCode(static_cast<int>(call.attributes().Int("dtype", fallback)));
  const Value k = Reshape(IntVector(std::vector{call.attributes().Int("k", 0)}), {});
  const Value rows = IotaAlong(0, 2, call.dims(0)[0]);
  return {Cast(Equal(rows + k, IotaAlong(1, 2, call.dims(0)[1])), dtype)};
}

GRADWIRE_OP({.name = "EyeLike",
             .since = 9,
             .types = kAnyType,
             .attributes = {"dtype", "k"},
             .decompose = DecomposeEyeLike,
             .differentiable = false,
             .stops_gradient = true});

// Differentiable in `values`, its input 2. Indices in [-depth, depth); others are hot nowhere.
Values DecomposeOneHot(const OpCall& call) {
  const auto depth = static_cast<int64_t>(call.Scalar(1));
  if (depth < 0) {
    throw Error(reason::kInvalidArgument, fmt::format("depth {} is negative", depth));
  }
  if (call.rank(2) != 1 || call.dims(2)[0] != 2) {
    throw Error(reason::kShapeMismatch, fmt::format("values is {}: [off, on] of shape [2] expected",
                                                    ToString(call.spec(2))));
  }
  const int rank = call.rank(0) + 1;
  const int axis = NormalizeAxis(call.attributes().Int("axis", -1), rank);
  const Value at = Unsqueeze(Cast(call.input(0), DType::kInt64), {axis});
  const Value wrapped = Where(Less(at, 0.0), at + static_cast<double>(depth), at);
  const Value hot = Equal(wrapped, IotaAlong(axis, rank, depth));
  const Value off = Slice(call.input(2), {0}, {1}, {0}, {1});
  const Value on = Slice(call.input(2), {1}, {2}, {0}, {1});
  return {Where(hot, Reshape(on, {}), Reshape(off, {}))};
}

GRADWIRE_OP({.name = "OneHot",
             .since = 9,
             .inputs = 3,
             .types = kNumbers | kHalves,
             .other_types = DType::kString,
             .attributes = {"axis"},
             .decompose = DecomposeOneHot});

}  // namespace
}  // namespace gradwire
