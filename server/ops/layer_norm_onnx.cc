// ONNX's normalisations of single examples, in the LayerNorm row of layer_norm.cc.
#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "graph/formula.h"
#include "graph/halves.h"
#include "ops/norm.h"

namespace gradwire {
namespace {

Attributes LayerNormAttributes(const OpCall& call, int axis, bool center) {
  return {{"axis", int64_t{axis}},
          {"center", int64_t{center}},
          {"epsilon", call.attributes().Float("epsilon", 1e-5f)}};
}

// `x` as a parameter of LayerNorm, which wants exactly the trailing dimensions; absent when it
// broadcasts some other way.
Value AsTrailing(const Value& x, std::span<const int64_t> trailing) {
  const Dims wanted(trailing.begin(), trailing.end());
  const auto extra = static_cast<int64_t>(x.dims().size() - wanted.size());
  if (extra < 0 || !std::equal(wanted.begin(), wanted.end(), x.dims().begin() + extra)) return {};
  const bool leads =
      std::any_of(x.dims().begin(), x.dims().begin() + extra, [](int64_t dim) { return dim != 1; });
  return leads ? Value() : Reshape(x, wanted);
}

void RequireBroadcastTo(const OpCall& call, size_t i) {
  if (BroadcastDims(call.dims(0), call.dims(i)) == call.dims(0)) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("input {} is {}, which does not broadcast to {}", i,
                          ToString(call.spec(i)), ToString(call.spec(0))));
}

// LayerNorm's outputs for input 0 and the parameters that follow it.
Values NormalizeTrailing(const OpCall& call, bool center) {
  const DType dtype = ComputeType(call.dtype(0));
  const int axis = call.Axis("axis", -1);
  const auto trailing = std::span<const int64_t>(call.dims(0)).subspan(static_cast<size_t>(axis));
  const Attributes attributes = LayerNormAttributes(call, axis, center);
  const Value x = Cast(call.input(0), dtype);
  Values fused{x};
  for (size_t i = 1; i < call.num_inputs() && call.has(i); ++i) {
    RequireBroadcastTo(call, i);
    const Value parameter = AsTrailing(Cast(call.input(i), dtype), trailing);
    if (parameter && fused.size() == i) fused.push_back(parameter);
  }
  const size_t done = fused.size();
  Values outputs = ApplyAll("gradwire::LayerNorm", std::move(fused), attributes, 3);
  if (done <= 1 && call.has(1)) outputs[0] = outputs[0] * Cast(call.input(1), dtype);
  if (done <= 2 && call.has(2)) outputs[0] = outputs[0] + Cast(call.input(2), dtype);
  return outputs;
}

DType StashType(const OpCall& call) {
  const DType dtype = DTypeFromCode(static_cast<int>(call.attributes().Int("stash_type", 1)));
  if ((kFloats | kHalves).Contains(dtype)) return dtype;
  throw Error(reason::kDtypeMismatch, fmt::format("stash_type {} is not a float", Name(dtype)));
}

Values DecomposeLayerNormalization(const OpCall& call) {
  Values outputs = NormalizeTrailing(call, /*center=*/true);
  if (kHalves.Contains(call.dtype(0))) outputs = Narrow(std::move(outputs), call.dtype(0), 0b1);
  const DType stash = StashType(call);
  return {Cast(outputs[0], call.dtype(0)), Cast(outputs[1], stash), Cast(outputs[2], stash)};
}

Values DecomposeRmsNormalization(const OpCall& call) {
  call.RequireType(1, kFloats | kHalves);
  return {Cast(NormalizeTrailing(call, /*center=*/false)[0], call.dtype(1))};
}

// X's groups of channels, [batch, groups, elements], normalised.
Value NormalizeGroups(const OpCall& call, int64_t groups) {
  const Dims& dims = call.dims(0);
  if (dims.size() < 2 || groups < 1 || dims[1] % groups != 0) {
    throw Error(reason::kShapeMismatch, fmt::format("X is {}, expected channels in {} groups",
                                                    ToString(call.spec(0)), groups));
  }
  const int64_t elements = NumElements(std::span<const int64_t>(dims).subspan(1)) / groups;
  const Value x = Reshape(call.input(0), Dims{dims[0], groups, elements});
  return Call("gradwire::LayerNorm", {x}, LayerNormAttributes(call, 2, /*center=*/true));
}

// x * scale + bias, each with one element for each index of axis 1.
Value ScaleChannels(const OpCall& call, const Value& x) {
  for (size_t i = 1; i < 3; ++i) {
    if (call.dims(i) == Dims{x.dims()[1]}) continue;
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, input {} is {}: expected {} elements", ToString(call.spec(0)),
                            i, ToString(call.spec(i)), x.dims()[1]));
  }
  return x * PerChannel(call.input(1), x.rank()) + PerChannel(call.input(2), x.rank());
}

Values DecomposeInstanceNormalization(const OpCall& call) {
  const int64_t channels = call.rank(0) < 2 ? 1 : call.dims(0)[1];
  return {Reshape(ScaleChannels(call, NormalizeGroups(call, channels)), call.dims(0))};
}

// In opset 18 scale and bias are per group, and from 21 on per channel.
Values DecomposeGroupNormalization18(const OpCall& call) {
  const Value x = NormalizeGroups(call, call.attributes().Int("num_groups"));
  return {Reshape(ScaleChannels(call, x), call.dims(0))};
}
Values DecomposeGroupNormalization21(const OpCall& call) {
  const Value x = NormalizeGroups(call, call.attributes().Int("num_groups"));
  return {ScaleChannels(call, Reshape(x, call.dims(0)))};
}

GRADWIRE_OP({.name = "LayerNormalization",
             .since = 17,
             .inputs = {2, 3},
             .outputs = {1, 3},
             .types = kFloats | kHalves,
             .attributes = {"axis", "epsilon", "stash_type"},
             .decompose = DecomposeLayerNormalization});
GRADWIRE_OP({.name = "RMSNormalization",
             .since = 23,
             .inputs = 2,
             .types = kFloats | kHalves,
             .attributes = {"axis", "epsilon", "stash_type"},
             .decompose = DecomposeRmsNormalization});
GRADWIRE_OP({.name = "InstanceNormalization",
             .since = 1,
             .inputs = 3,
             .attributes = {"epsilon", "consumed_inputs"},
             .decompose = DecomposeInstanceNormalization});
GRADWIRE_OP({.name = "InstanceNormalization",
             .since = 6,
             .inputs = 3,
             .attributes = {"epsilon"},
             .decompose = DecomposeInstanceNormalization});
GRADWIRE_OP({.name = "GroupNormalization",
             .since = 18,
             .inputs = 3,
             .attributes = {"epsilon", "num_groups"},
             .decompose = DecomposeGroupNormalization18});
GRADWIRE_OP({.name = "GroupNormalization",
             .since = 21,
             .inputs = 3,
             .attributes = {"epsilon", "num_groups", "stash_type"},
             .decompose = DecomposeGroupNormalization21});

}  // namespace
}  // namespace gradwire
