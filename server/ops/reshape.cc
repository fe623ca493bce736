// Other shapes over the same storage: all of them lower to gradwire::Reshape, whose adjoint is
// itself.
#include <fmt/format.h>

#include <algorithm>

#include "graph/formula.h"
#include "graph/structured.h"

namespace gradwire {
namespace {

Specs InferReshape(const OpCall& call) {
  const std::vector<int64_t>& shape = call.attributes().Ints("shape");
  TensorSpec spec{call.dtype(0), Dims(shape.begin(), shape.end())};
  CheckSpec(spec);
  if (spec.numel() != call.spec(0).numel()) {
    throw Error(reason::kShapeMismatch,
                fmt::format("{} has {} elements, shape {} has {}", ToString(call.spec(0)),
                            call.spec(0).numel(), ToString(shape), spec.numel()));
  }
  return {spec};
}

Values ReshapeVjp(const VjpCall& call) { return {Reshape(call.dy(), call.input_spec(0).dims)}; }

GRADWIRE_OP({.name = "Reshape",
             .domain = "gradwire",
             .types = kAnyType,
             .attributes = {"shape"},
             .infer = InferReshape,
             .vjp = ReshapeVjp,
             .alias = true});

Specs InferSame(const OpCall& call) { return {call.spec(0)}; }
Values IdentityVjp(const VjpCall& call) { return {call.dy()}; }

Items PassOn(const StructuredCall& call) { return {call.input(0)}; }

GRADWIRE_OP({.name = "Identity",
             .types = kAnyType,
             .infer = InferSame,
             .structured = PassOn,
             .vjp = IdentityVjp,
             .alias = true});
// The same array, through which no gradient flows.
GRADWIRE_OP({.name = "Detach",
             .domain = "gradwire",
             .types = kAnyType,
             .infer = InferSame,
             .differentiable = false,
             .stops_gradient = true,
             .alias = true});

// ONNX's shape with its 0 (that of the input, unless `allow_zero`) and -1 (what is left) filled in.
Dims ResolveShape(const TensorSpec& input, const std::vector<int64_t>& shape, bool allow_zero) {
  Dims dims(shape.begin(), shape.end());
  int64_t known = 1;
  int64_t* open = nullptr;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 0 && !allow_zero) {
      if (i >= input.dims.size()) {
        throw Error(reason::kShapeMismatch, fmt::format("shape {} copies extent {}, which {} lacks",
                                                        ToString(shape), i, ToString(input)));
      }
      dims[i] = input.dims[i];
    }
    if (dims[i] != -1) {
      known *= dims[i];
    } else if (open == nullptr) {
      open = &dims[i];
    } else {
      throw Error(reason::kInvalidArgument,
                  fmt::format("shape {} has more than one -1", ToString(shape)));
    }
  }
  if (open == nullptr) return dims;
  if (known == 0 || input.numel() % known != 0) {
    throw Error(reason::kShapeMismatch,
                fmt::format("{} does not divide into shape {}", ToString(input), ToString(shape)));
  }
  *open = input.numel() / known;
  return dims;
}

Values DecomposeReshape(const OpCall& call) {
  const bool listed = call.attributes().Has("shape");
  const std::vector<int64_t> shape = listed ? call.attributes().Ints("shape") : call.Ints(1);
  const bool allow_zero = call.attributes().Int("allowzero", 0) != 0;
  return {Reshape(call.input(0), ResolveShape(call.spec(0), shape, allow_zero))};
}

GRADWIRE_OP({.name = "Reshape",
             .types = kAnyType,
             .attributes = {"shape", "consumed_inputs"},
             .decompose = DecomposeReshape});
GRADWIRE_OP({.name = "Reshape",
             .since = 5,
             .inputs = 2,
             .types = kAnyType,
             .attributes = {"allowzero"},
             .decompose = DecomposeReshape});

Values DecomposeFlatten(const OpCall& call) {
  const int rank = call.rank(0);
  const int64_t axis = call.attributes().Int("axis", 1);
  if (axis < -rank || axis > rank) {
    throw Error(reason::kInvalidArgument,
                fmt::format("axis {} is out of range for rank {}", axis, rank));
  }
  const std::span<const int64_t> dims = call.dims(0);
  const auto at = static_cast<size_t>(axis < 0 ? axis + rank : axis);
  return {Reshape(call.input(0), {NumElements(dims.first(at)), NumElements(dims.subspan(at))})};
}

GRADWIRE_OP(
    {.name = "Flatten", .types = kAnyType, .attributes = {"axis"}, .decompose = DecomposeFlatten});

// The axes of Squeeze and Unsqueeze: an attribute before opset 13, an input since.
std::vector<int64_t> AxesArgument(const OpCall& call) {
  return call.has(1) ? call.Ints(1) : call.attributes().Ints("axes", {});
}

Values DecomposeSqueeze(const OpCall& call) {
  const Dims axes = NormalizeAxes(AxesArgument(call), call.rank(0));
  Dims dims;
  for (int i = 0; i < call.rank(0); ++i) {
    const int64_t extent = call.dims(0)[static_cast<size_t>(i)];
    const bool listed = std::find(axes.begin(), axes.end(), i) != axes.end();
    if (listed && extent != 1) {
      throw Error(reason::kShapeMismatch, fmt::format("axis {} of {} has extent {}, expected 1", i,
                                                      ToString(call.spec(0)), extent));
    }
    if (listed || (axes.empty() && extent == 1)) continue;
    dims.push_back(extent);
  }
  return {Reshape(call.input(0), dims)};
}

GRADWIRE_OP(
    {.name = "Squeeze", .types = kAnyType, .attributes = {"axes"}, .decompose = DecomposeSqueeze});
GRADWIRE_OP({.name = "Squeeze",
             .since = 13,
             .inputs = {1, 2},
             .types = kAnyType,
             .decompose = DecomposeSqueeze});

Values DecomposeUnsqueeze(const OpCall& call) {
  const std::vector<int64_t> axes = AxesArgument(call);
  const int rank = call.rank(0) + static_cast<int>(axes.size());
  return {Unsqueeze(call.input(0), NormalizeAxes(axes, rank))};
}

GRADWIRE_OP({.name = "Unsqueeze",
             .types = kAnyType,
             .attributes = {"axes"},
             .decompose = DecomposeUnsqueeze});
GRADWIRE_OP({.name = "Unsqueeze",
             .since = 13,
             .inputs = 2,
             .types = kAnyType,
             .decompose = DecomposeUnsqueeze});

}  // namespace
}  // namespace gradwire
