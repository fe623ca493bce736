// Gather and its adjoint ScatterAdd, GatherElements, GatherND, Compress. The adjoints of
// GatherElements and GatherND are scatters: scatter.cc.
#include <fmt/format.h>

#include <cstring>

#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/blocks.h"

namespace gradwire {
namespace {

Dims ToDims(const std::vector<int64_t>& values) { return {values.begin(), values.end()}; }

// ---- Gather and gradwire::ScatterAdd (updates, indices) {axis, shape}

// `dims` with the axis replaced by the extents of the indices.
Dims GatheredDims(const Dims& dims, int axis, const Dims& indices) {
  Dims result(dims.begin(), dims.begin() + axis);
  result.insert(result.end(), indices.begin(), indices.end());
  result.insert(result.end(), dims.begin() + axis + 1, dims.end());
  return result;
}

Specs InferGather(const OpCall& call) {
  RequireIndexType(call.spec(1));
  return {{call.dtype(0), GatheredDims(call.dims(0), call.Axis("axis", 0), call.dims(1))}};
}

void GatherCpu(KernelContext& k) {
  const Tensor& x = k.input(0);
  const int axis = NormalizeAxis(k.attributes().Int("axis", 0), x.rank());
  GatherBlocks(AxisBlocks(k, x.dims(), k.input(1), axis), x, k.output(0));
}

Values GatherVjp(const VjpCall& call) {
  const Dims& dims = call.input_spec(0).dims;
  return {Call("gradwire::ScatterAdd", {call.dy(), call.input(1)},
               {{"axis", call.attributes().Int("axis", 0)}, {"shape", ToVector(dims)}})};
}

Specs InferScatterAdd(const OpCall& call) {
  RequireIndexType(call.spec(1));
  const Dims dims = ToDims(call.attributes().Ints("shape"));
  const int axis = NormalizeAxis(call.attributes().Int("axis", 0), static_cast<int>(dims.size()));
  const Dims expected = GatheredDims(dims, axis, call.dims(1));
  if (call.dims(0) != expected) {
    throw Error(reason::kShapeMismatch,
                fmt::format("updates are {}, {} is expected for indices {}", ToString(call.spec(0)),
                            ToString(expected), ToString(call.spec(1))));
  }
  return {{call.dtype(0), dims}};
}

void ScatterAddCpu(KernelContext& k) {
  Tensor& y = k.output(0);
  const int axis = NormalizeAxis(k.attributes().Int("axis", 0), y.rank());
  const Blocks blocks = AxisBlocks(k, y.dims(), k.input(1), axis);
  std::memset(k.out<void>(0), 0, y.bytes());
  ScatterBlocks(blocks, k.input(0), y, Reduction::kAdd);
}

Values ScatterAddVjp(const VjpCall& call) {
  return {Call("Gather", {call.dy(), call.input(1)}, {{"axis", call.attributes().Int("axis", 0)}})};
}

GRADWIRE_OP({.name = "Gather",
             .since = 1,
             .inputs = 2,
             .types = kMoved,
             .attributes = {"axis"},
             .infer = InferGather,
             .cpu = GatherCpu,
             .vjp = GatherVjp,
             .saves = {.inputs = 0b10}});
GRADWIRE_OP({.name = "ScatterAdd",
             .domain = "gradwire",
             .inputs = 2,
             .types = kNumbers,
             .attributes = {"axis", "shape"},
             .infer = InferScatterAdd,
             .cpu = ScatterAddCpu,
             .vjp = ScatterAddVjp,
             .saves = {.inputs = 0b10}});

// ---- GatherElements

Specs InferGatherElements(const OpCall& call) {
  RequireIndexType(call.spec(1));
  const int axis = call.Axis("axis", 0);
  bool fits = call.rank(0) == call.rank(1);
  for (int d = 0; fits && d < call.rank(0); ++d) {
    fits = d == axis || call.dims(1)[size_t(d)] <= call.dims(0)[size_t(d)];
  }
  if (!fits) {
    throw Error(reason::kShapeMismatch,
                fmt::format("data is {}, indices are {}: ranks must agree, and indices fit into "
                            "data but for axis {}",
                            ToString(call.spec(0)), ToString(call.spec(1)), axis));
  }
  return {{call.dtype(0), call.dims(1)}};
}

void GatherElementsCpu(KernelContext& k) {
  const Tensor& x = k.input(0);
  const int axis = NormalizeAxis(k.attributes().Int("axis", 0), x.rank());
  GatherBlocks(ElementBlocks(k, x.dims(), k.input(1), axis), x, k.output(0));
}

Values GatherElementsVjp(const VjpCall& call) {
  return {Call("gradwire::ScatterElements", {call.dy(), call.input(1)},
               {{"axis", call.attributes().Int("axis", 0)},
                {"shape", ToVector(call.input_spec(0).dims)},
                {"reduction", std::string("add")}})};
}

GRADWIRE_OP({.name = "GatherElements",
             .since = 11,
             .inputs = 2,
             .types = kMoved,
             .attributes = {"axis"},
             .infer = InferGatherElements,
             .cpu = GatherElementsCpu,
             .vjp = GatherElementsVjp,
             .saves = {.inputs = 0b10}});

// ---- GatherND

Specs InferGatherNd(const OpCall& call) {
  if (call.rank(0) < 1 || call.rank(1) < 1) {
    throw Error(reason::kShapeMismatch,
                fmt::format("data is {}, indices are {}: both need a rank of at least 1",
                            ToString(call.spec(0)), ToString(call.spec(1))));
  }
  return {{call.dtype(0),
           TupleUpdateDims(call.dims(0), call.spec(1), call.attributes().Int("batch_dims", 0))}};
}

void GatherNdCpu(KernelContext& k) {
  const auto batch_dims = static_cast<int>(k.attributes().Int("batch_dims", 0));
  GatherBlocks(TupleBlocks(k, k.input(0).dims(), k.input(1), batch_dims), k.input(0), k.output(0));
}

Values GatherNdVjp(const VjpCall& call) {
  return {Call("gradwire::ScatterND", {call.dy(), call.input(1)},
               {{"batch_dims", call.attributes().Int("batch_dims", 0)},
                {"shape", ToVector(call.input_spec(0).dims)},
                {"reduction", std::string("add")}})};
}

GRADWIRE_OP({.name = "GatherND",
             .since = 11,
             .inputs = 2,
             .types = kMoved,
             .infer = InferGatherNd,
             .cpu = GatherNdCpu,
             .vjp = GatherNdVjp,
             .saves = {.inputs = 0b10}});
GRADWIRE_OP({.name = "GatherND",
             .since = 12,
             .inputs = 2,
             .types = kMoved,
             .attributes = {"batch_dims"},
             .infer = InferGatherNd,
             .cpu = GatherNdCpu,
             .vjp = GatherNdVjp,
             .saves = {.inputs = 0b10}});

// ---- Compress: the condition decides the shape, so it is read during the trace

Values DecomposeCompress(const OpCall& call) {
  const bool flat = !call.attributes().Has("axis");
  const Value x = flat ? Reshape(call.input(0), {call.spec(0).numel()}) : call.input(0);
  const int axis = flat ? 0 : call.Axis("axis", 0);
  if (call.rank(1) != 1 || call.dims(1)[0] > x.dims()[size_t(axis)]) {
    throw Error(reason::kShapeMismatch,
                fmt::format("condition is {}, at most [{}] is expected", ToString(call.spec(1)),
                            x.dims()[size_t(axis)]));
  }
  const std::vector<int64_t> condition = call.Ints(1);
  std::vector<int64_t> chosen;
  for (size_t i = 0; i < condition.size(); ++i) {
    if (condition[i] != 0) chosen.push_back(static_cast<int64_t>(i));
  }
  return {Call("Gather", {x, IntVector(chosen)}, {{"axis", int64_t{axis}}})};
}

GRADWIRE_OP({.name = "Compress",
             .since = 9,
             .inputs = 2,
             .types = kMoved,
             .attributes = {"axis"},
             .decompose = DecomposeCompress});

}  // namespace
}  // namespace gradwire
