// Running sums and products along an axis.
#include <fmt/format.h>

#include <algorithm>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"

namespace gradwire {
namespace {

Specs InferScan(const OpCall& call) {
  NormalizeAxis(call.attributes().Int("axis"), std::max(1, call.rank(0)));
  return {call.spec(0)};
}

// Integers wrap; floating sums are kept in double.
template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;

struct Plus {
  static constexpr int kFirst = 0;
  template <class A>
  static A Step(A a, A x) {
    return a + x;
  }
};

struct Times {
  static constexpr int kFirst = 1;
  template <class A>
  static A Step(A a, A x) {
    return a * x;
  }
};

constexpr int64_t kTile = 512;

// One line along the axis.
template <class Op, class T>
void ScanLine(const T* in, T* out, int64_t extent, int64_t stride, bool exclusive) {
  Wide<T> sum = Op::kFirst;
  for (int64_t k = 0; k < extent; ++k) {
    const Wide<T> next = Op::Step(sum, static_cast<Wide<T>>(in[k * stride]));
    out[k * stride] = static_cast<T>(exclusive ? sum : next);
    sum = next;
  }
}

// Up to kTile neighbours, each scanned along the axis on its own.
template <class Op, class T>
void ScanTile(const T* in, T* out, int64_t extent, int64_t stride, int64_t width, bool exclusive) {
  Wide<T> sums[kTile];
  std::fill_n(sums, width, Wide<T>(Op::kFirst));
  for (int64_t k = 0; k < extent; ++k) {
    const T* from = in + k * stride;
    T* to = out + k * stride;
    for (int64_t j = 0; j < width; ++j) {
      const Wide<T> next = Op::Step(sums[j], static_cast<Wide<T>>(from[j]));
      to[j] = static_cast<T>(exclusive ? sums[j] : next);
      sums[j] = next;
    }
  }
}

template <class Op>
void ScanKernel(KernelContext& context) {
  using Types = TypeList<float, double, int32_t, int64_t, uint32_t, uint64_t>;
  const Dims dims = context.input(0).rank() == 0 ? Dims{1} : context.input(0).dims();
  const Attributes& attributes = context.attributes();
  const int axis = NormalizeAxis(attributes.Int("axis"), static_cast<int>(dims.size()));
  const AxisSplit split = SplitAt(dims, axis);
  if (context.input(0).numel() == 0) return;
  const bool exclusive = attributes.Int("exclusive") != 0;
  const bool reverse = attributes.Int("reverse") != 0;
  const int64_t tiles = (split.inner + kTile - 1) / kTile;
  const int64_t last = reverse ? (split.axis - 1) * split.inner : 0;
  const int64_t stride = reverse ? -split.inner : split.inner;
  const int64_t work = split.axis * std::min(split.inner, kTile);
  Dispatch(Types{}, context.input(0).dtype(), [&]<class T>() {
    const T* in = context.in<T>(0);
    T* out = context.out<T>(0);
    ParallelFor(split.outer * tiles, (1 << 15) / work, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i % tiles * kTile;
        const int64_t at = i / tiles * split.axis * split.inner + last + first;
        const int64_t width = std::min(kTile, split.inner - first);
        if (width == 1) {
          ScanLine<Op>(in + at, out + at, split.axis, stride, exclusive);
        } else {
          ScanTile<Op>(in + at, out + at, split.axis, stride, width, exclusive);
        }
      }
    });
  });
}

// What comes after an element sums up to its gradient.
Values CumSumVjp(const VjpCall& call) {
  Attributes attributes = call.attributes();
  attributes.Set("reverse", int64_t{attributes.Int("reverse") == 0});
  return {Call("gradwire::CumSum", {call.dy()}, std::move(attributes))};
}

// Each element replaced by the one `step` places before it (after it in reverse), the first ones by
// 1.
Value Shift(const Value& x, int axis, int64_t step, bool reverse) {
  const int64_t extent = x.dims()[static_cast<size_t>(axis)];
  Dims dims = x.dims();
  dims[static_cast<size_t>(axis)] = step;
  const Value ones = Full(dims, 1.0, x.dtype());
  if (reverse) return Concat({Slice(x, {step}, {extent}, {axis}, {1}), ones}, axis);
  return Concat({ones, Slice(x, {0}, {extent - step}, {axis}, {1})}, axis);
}

// The running product in log2(extent) multiplications of whole arrays: differentiable to any order
// and right with zeros, where a division is not.
Values DecomposeCumProd(const OpCall& call) {
  Value y = call.input(0);
  if (y.rank() == 0) {
    return {call.attributes().Int("exclusive") == 0 ? y : Full({}, 1.0, y.dtype())};
  }
  const int axis = call.Axis("axis", 0);
  const int64_t extent = y.dims()[static_cast<size_t>(axis)];
  const bool reverse = call.attributes().Int("reverse") != 0;
  if (call.attributes().Int("exclusive") != 0 && extent > 0) y = Shift(y, axis, 1, reverse);
  for (int64_t step = 1; step < extent; step *= 2) y = y * Shift(y, axis, step, reverse);
  return {y};
}

constexpr DTypeSet kArithmetic =
    kFloats | (DType::kInt32 | DType::kInt64) | (DType::kUint32 | DType::kUint64);

GRADWIRE_OP({.name = "CumSum",
             .domain = "gradwire",
             .types = kArithmetic,
             .attributes = {"axis", "exclusive", "reverse"},
             .infer = InferScan,
             .cpu = ScanKernel<Plus>,
             .vjp = CumSumVjp});
GRADWIRE_OP({.name = "CumProd",
             .domain = "gradwire",
             .types = kArithmetic,
             .attributes = {"axis", "exclusive", "reverse"},
             .infer = InferScan,
             .cpu = ScanKernel<Times>,
             .decompose = DecomposeCumProd});

Values DecomposeScan(const OpCall& call) {
  return {Call(fmt::format("gradwire::{}", call.op().name), {call.input(0)},
               {{"axis", call.Int(1)},
                {"exclusive", call.attributes().Int("exclusive", 0)},
                {"reverse", call.attributes().Int("reverse", 0)}})};
}

GRADWIRE_OP({.name = "CumSum",
             .since = 11,
             .inputs = 2,
             .types = kArithmetic,
             .attributes = {"exclusive", "reverse"},
             .decompose = DecomposeScan});
GRADWIRE_OP({.name = "CumProd",
             .since = 26,
             .inputs = 2,
             .types = kArithmetic,
             .attributes = {"exclusive", "reverse"},
             .decompose = DecomposeScan});

}  // namespace
}  // namespace gradwire
