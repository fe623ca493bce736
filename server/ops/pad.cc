// Pad. Constant padding is a kernel, and with the pads negated its own derivative; the other modes
// repeat elements of the input, so they are gathers along each axis.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/box.h"
#include "ops/range.h"
#include "ops/small.h"

namespace gradwire {
namespace {

// No array has room for larger ones, and their sums would overflow.
void CheckPads(const std::vector<int64_t>& pads) {
  constexpr int64_t kLimit = int64_t{1} << 48;
  for (const int64_t pad : pads) {
    if (pad > -kLimit && pad < kLimit) continue;
    throw Error(reason::kInvalidArgument, fmt::format("pads {} are out of range", ToString(pads)));
  }
}

// ---- gradwire::Pad (x, value?) {pads}: begins, then ends, of every axis

Specs InferPad(const OpCall& call) {
  const std::vector<int64_t>& pads = call.attributes().Ints("pads");
  const auto rank = static_cast<size_t>(call.rank(0));
  if (pads.size() != 2 * rank) {
    throw Error(reason::kInvalidArgument,
                fmt::format("input is {}: {} pads are expected, got {}", ToString(call.spec(0)),
                            2 * rank, ToString(pads)));
  }
  if (call.has(1)) {
    call.RequireSameType(1);
    if (call.spec(1).numel() != 1) {
      throw Error(reason::kShapeMismatch, fmt::format("constant_value must have one element, got "
                                                      "{}",
                                                      ToString(call.spec(1))));
    }
  }
  CheckPads(pads);
  TensorSpec spec = call.spec(0);
  for (size_t d = 0; d < rank; ++d) {
    const int64_t removed = std::min<int64_t>(0, pads[d]) + std::min<int64_t>(0, pads[rank + d]);
    if (spec.dims[d] + removed < 0) {
      throw Error(reason::kShapeMismatch, fmt::format("pads {} take more from {} than it has",
                                                      ToString(pads), ToString(call.spec(0))));
    }
    spec.dims[d] += pads[d] + pads[rank + d];
  }
  return {spec};
}

void PadCpu(KernelContext& k) {
  const Tensor& x = k.input(0);
  const Tensor& y = k.output(0);
  const std::vector<int64_t>& pads = k.attributes().Ints("pads");
  const auto rank = static_cast<size_t>(x.rank());
  Box kept{x.dims(), Strides(x.dims()), Strides(y.dims())};
  int64_t from = 0;
  int64_t to = 0;
  for (size_t d = 0; d < rank; ++d) {
    const int64_t begin = pads[d];
    kept.dims[d] += std::min<int64_t>(0, begin) + std::min<int64_t>(0, pads[rank + d]);
    from += std::max<int64_t>(0, -begin) * kept.from[d];
    to += std::max<int64_t>(0, begin) * kept.to[d];
  }
  if (NumElements(kept.dims) < y.numel()) {
    FillElements(k.out<void>(0), y.numel(), y.dtype(), k.has(1) ? k.in<void>(1) : kZeroElement);
  }
  CopyBox(kept, x.dtype(), k.in<void>(0), from, k.out<void>(0), to);
}

Values PadVjp(const VjpCall& call) {
  std::vector<int64_t> back = call.attributes().Ints("pads");
  for (int64_t& pad : back) pad = -pad;
  const Value dx = Call("gradwire::Pad", {call.dy()}, {{"pads", std::move(back)}});
  if (!call.needs(1)) return {dx};
  const Value dvalue = Sum(call.dy(), AllAxes(call.dy().rank()), /*keepdims=*/false) -
                       Sum(dx, AllAxes(dx.rank()), /*keepdims=*/false);
  return {dx, Reshape(dvalue, call.input_spec(1).dims)};
}

GRADWIRE_OP({.name = "Pad",
             .domain = "gradwire",
             .inputs = {1, 2},
             .types = kMoved,
             .attributes = {"pads"},
             .infer = InferPad,
             .cpu = PadCpu,
             .vjp = PadVjp});

// ---- ONNX's Pad

// Where the elements at indices `at` of an infinite array repeated from one of n elements come
// from.
Value Sources(const std::string& mode, const Value& at, int64_t n) {
  const auto number = [&](int64_t i) { return Scalar(static_cast<double>(i), DType::kInt64); };
  if (mode == "edge" || n == 1) {
    return Call("Min", {Call("Max", {at, number(0)}), number(n - 1)});
  }
  if (mode == "wrap") return Call("Mod", {at, number(n)});
  const Value period = number(2 * (n - 1));
  const Value phase = Call("Mod", {at, period});
  return Call("Min", {phase, period - phase});
}

// Negative pads cut first; positive ones repeat what is left.
Value PadAxis(const Value& x, int axis, int64_t begin, int64_t end, const std::string& mode) {
  const int64_t cut = std::max<int64_t>(0, -begin);
  const int64_t left = x.dims()[size_t(axis)] - cut - std::max<int64_t>(0, -end);
  const int64_t before = std::max<int64_t>(0, begin);
  const int64_t length = left + before + std::max<int64_t>(0, end);
  if (left < 0 || (left == 0 && length > 0)) {
    throw Error(reason::kShapeMismatch,
                fmt::format("nothing of axis {} of {} is left to repeat, pads are {} and {}", axis,
                            ToString(x.spec()), begin, end));
  }
  if (length == 0) return Slice(x, {0}, {0}, {axis}, {1});
  const Value at = Iota(length) - Scalar(static_cast<double>(before), DType::kInt64);
  const Value sources = Sources(mode, at, left) + Scalar(static_cast<double>(cut), DType::kInt64);
  return Call("Gather", {x, sources}, {{"axis", int64_t{axis}}});
}

Value PadAll(const OpCall& call, std::vector<int64_t> pads, const Value& value) {
  const std::string mode = call.attributes().String("mode", "constant");
  if (mode == "constant") {
    return Call("gradwire::Pad", value ? Values{call.input(0), value} : Values{call.input(0)},
                {{"pads", std::move(pads)}});
  }
  const bool wraps = mode == "wrap" && call.op().since >= 19;
  if (mode != "reflect" && mode != "edge" && !wraps) {
    throw Error(reason::kInvalidArgument, fmt::format("mode '{}' is not known", mode));
  }
  const auto rank = static_cast<size_t>(call.rank(0));
  if (pads.size() != 2 * rank) {
    throw Error(reason::kInvalidArgument,
                fmt::format("input is {}: {} pads are expected, got {}", ToString(call.spec(0)),
                            2 * rank, ToString(pads)));
  }
  CheckPads(pads);
  Value y = call.input(0);
  for (size_t d = 0; d < rank; ++d) {
    if (pads[d] == 0 && pads[rank + d] == 0) continue;
    y = PadAxis(y, static_cast<int>(d), pads[d], pads[rank + d], mode);
  }
  return y.slot() == call.input(0).slot() ? Call("Identity", {y}) : y;
}

Values DecomposePad2(const OpCall& call) {
  const Attributes& attributes = call.attributes();
  const Value value = Scalar(attributes.Float("value", 0), call.dtype(0));
  return {PadAll(call, attributes.Ints(call.op().since == 1 ? "paddings" : "pads"), value)};
}

// Pads of the axes that input 3 names, as pads of every axis.
std::vector<int64_t> PadsOfAxes(const OpCall& call) {
  std::vector<int64_t> pads = call.Ints(1);
  if (!call.has(3)) return pads;
  const std::vector<int64_t> axes = call.Ints(3);
  NormalizeAxes(axes, call.rank(0));  // throws where one comes twice
  if (pads.size() != 2 * axes.size()) {
    throw Error(reason::kInvalidArgument,
                fmt::format("{} pads are expected for axes {}, got {}", 2 * axes.size(),
                            ToString(axes), ToString(pads)));
  }
  const auto rank = static_cast<size_t>(call.rank(0));
  std::vector<int64_t> all(2 * rank, 0);
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(NormalizeAxis(axes[i], call.rank(0)));
    all[axis] = pads[i];
    all[rank + axis] = pads[axes.size() + i];
  }
  return all;
}

Values DecomposePad11(const OpCall& call) {
  if (IsSmall(call)) return MovedAsFloat32(call);
  return {PadAll(call, PadsOfAxes(call), call.input(2))};
}

GRADWIRE_OP({.name = "Pad",
             .since = 1,
             .types = kDense,
             .attributes = {"mode", "paddings", "value"},
             .decompose = DecomposePad2});
GRADWIRE_OP({.name = "Pad",
             .since = 2,
             .types = kDense,
             .attributes = {"mode", "pads", "value"},
             .decompose = DecomposePad2});
GRADWIRE_OP({.name = "Pad",
             .since = 11,
             .inputs = {2, 3},
             .types = kMoved,
             .attributes = {"mode"},
             .decompose = DecomposePad11});
GRADWIRE_OP({.name = "Pad",
             .since = 18,
             .inputs = {2, 4},
             .types = kMoved,
             .attributes = {"mode"},
             .decompose = DecomposePad11});
GRADWIRE_OP({.name = "Pad",
             .since = 19,
             .inputs = {2, 4},
             .types = kReal | DType::kString,
             .attributes = {"mode"},
             .decompose = DecomposePad11});

}  // namespace
}  // namespace gradwire
