// ScatterElements, ScatterND and TensorScatter.
//
// Both scatters are one row each in domain "gradwire": (updates, indices, data?), where absent data
// mean zeros of `shape`. Updates are combined in order, so the last one wins where there is no
// reduction.
#include <fmt/format.h>

#include <cstring>
#include <numeric>

#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/blocks.h"
#include "ops/small.h"

namespace gradwire {
namespace {

// ---- Contract and kernel

// The blocks that a node's indices name in an array of `dims`: `axis` marks ScatterElements.
Blocks BlocksOf(KernelContext& k, const Dims& dims, const Tensor& indices) {
  if (k.attributes().Has("axis")) {
    const int axis = NormalizeAxis(k.attributes().Int("axis"), static_cast<int>(dims.size()));
    return ElementBlocks(k, dims, indices, axis);
  }
  return TupleBlocks(k, dims, indices, static_cast<int>(k.attributes().Int("batch_dims", 0)));
}

// The extents of the target: of the data, or `shape` where there are none.
Dims TargetDims(const OpCall& call, size_t data) {
  if (call.dtype(0) == DType::kString && call.attributes().String("reduction", "none") != "none") {
    throw Error(reason::kInvalidArgument, "strings have no reductions");
  }
  if (call.has(data)) {
    call.RequireSameType(data);
    return call.dims(data);
  }
  const Reduction reduction = ParseReduction(call.attributes().String("reduction", "none"));
  if (reduction != Reduction::kNone && reduction != Reduction::kAdd) {
    throw Error(reason::kInvalidArgument, "this reduction needs data");
  }
  const std::vector<int64_t>& shape = call.attributes().Ints("shape");
  return {shape.begin(), shape.end()};
}

void RequireUpdates(const OpCall& call, const Dims& expected) {
  if (call.dims(0) == expected) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("updates are {}, indices {}: updates of {} are expected",
                          ToString(call.spec(0)), ToString(call.spec(1)), ToString(expected)));
}

// That `indices` may name elements of an array of `dims`.
void CheckElements(const OpCall& call, const Dims& dims, const TensorSpec& indices) {
  RequireIndexType(indices);
  const auto rank = static_cast<int>(dims.size());
  const int axis = NormalizeAxis(call.attributes().Int("axis"), rank);
  bool fits = indices.rank() == rank;
  for (int d = 0; fits && d < rank; ++d) {
    fits = d == axis || indices.dims[size_t(d)] <= dims[size_t(d)];
  }
  if (fits) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("data is {}, indices are {}: ranks must agree, and indices fit into "
                          "data but for axis {}",
                          ToString(dims), ToString(indices), axis));
}

void CheckTuples(const Dims& dims, const TensorSpec& indices) {
  if (indices.rank() >= 1 && !dims.empty()) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("data is {}, indices are {}: both need a rank of at least 1",
                          ToString(dims), ToString(indices)));
}

Specs InferScatterElements(const OpCall& call) {
  const Dims dims = TargetDims(call, 2);
  CheckElements(call, dims, call.spec(1));
  RequireUpdates(call, call.dims(1));
  return {{call.dtype(0), dims}};
}

Specs InferScatterNd(const OpCall& call) {
  const Dims dims = TargetDims(call, 2);
  CheckTuples(dims, call.spec(1));
  const int64_t batch_dims = call.attributes().Int("batch_dims", 0);
  RequireUpdates(call, TupleUpdateDims(dims, call.spec(1), batch_dims));
  return {{call.dtype(0), dims}};
}

void ScatterCpu(KernelContext& k) {
  Tensor& y = k.output(0);
  const Blocks blocks = BlocksOf(k, y.dims(), k.input(1));
  if (k.has(2)) {
    std::memcpy(k.out<void>(0), k.in<void>(2), y.bytes());
  } else {
    std::memset(k.out<void>(0), 0, y.bytes());
  }
  const Reduction reduction = ParseReduction(k.attributes().String("reduction", "none"));
  ScatterBlocks(blocks, k.input(0), y, reduction);
}

// ---- gradwire::IsLastWrite (indices) {axis or batch_dims, shape}: whether no later update goes to
// the same place; true for all where indices are distinct. It broadcasts to the updates.

Specs InferIsLastWrite(const OpCall& call) {
  const std::vector<int64_t>& shape = call.attributes().Ints("shape");
  const Dims target(shape.begin(), shape.end());
  CheckSpec({DType::kInt64, target});  // what the kernel notes the writers in
  if (call.attributes().Has("axis")) {
    CheckElements(call, target, call.spec(0));
    return {{DType::kBool, call.dims(0)}};
  }
  CheckTuples(target, call.spec(0));
  const Dims updates =
      TupleUpdateDims(target, call.spec(0), call.attributes().Int("batch_dims", 0));
  Dims dims(call.dims(0).begin(), call.dims(0).end() - 1);
  dims.resize(updates.size(), 1);
  return {{DType::kBool, dims}};
}

void IsLastWriteCpu(KernelContext& k) {
  const std::vector<int64_t>& shape = k.attributes().Ints("shape");
  const Dims dims(shape.begin(), shape.end());
  const Blocks blocks = BlocksOf(k, dims, k.input(0));
  if (blocks.size == 0) {
    std::memset(k.out<void>(0), 1, k.output(0).bytes());
    return;
  }
  const BufferPtr memory = k.Scratch(static_cast<size_t>(NumElements(dims)) * sizeof(int64_t));
  auto* writer = static_cast<int64_t*>(memory->data());
  for (int64_t b = 0; b < blocks.count; ++b) writer[blocks.offsets[b]] = b;
  bool* last = k.out<bool>(0);
  for (int64_t b = 0; b < blocks.count; ++b) last[b] = writer[blocks.offsets[b]] == b;
}

GRADWIRE_OP({.name = "IsLastWrite",
             .domain = "gradwire",
             .types = DType::kInt32 | DType::kInt64,
             .attributes = {"axis", "batch_dims", "shape"},
             .infer = InferIsLastWrite,
             .cpu = IsLastWriteCpu,
             .differentiable = false});

// ---- Derivatives

// A scatter's indices, and calls that go the same ways.
class Routes {
 public:
  explicit Routes(const VjpCall& call)
      : elements_(call.attributes().Has("axis")), indices_(call.input(1)) {
    const char* name = elements_ ? "axis" : "batch_dims";
    attributes_.Set(name, call.attributes().Int(name, 0));
    shape_ = ToVector(call.output_spec(0).dims);
  }

  // The elements of an array of the target's shape that the updates meet.
  Value Gather(const Value& target) const {
    return Call(elements_ ? "GatherElements" : "GatherND", {target, indices_}, attributes_);
  }
  Value Scatter(const Value& updates, const Value& data, const char* reduction) const {
    Attributes attributes = attributes_;
    attributes.Set("reduction", std::string(reduction));
    attributes.Set("shape", shape_);
    return Call(elements_ ? "gradwire::ScatterElements" : "gradwire::ScatterND",
                data ? Values{updates, indices_, data} : Values{updates, indices_}, attributes);
  }
  Value IsLastWrite() const {
    Attributes attributes = attributes_;
    attributes.Set("shape", shape_);
    return Call("gradwire::IsLastWrite", {indices_}, attributes);
  }

 private:
  bool elements_;
  Value indices_;
  Attributes attributes_;
  std::vector<int64_t> shape_;
};

Values ReplaceVjp(const VjpCall& call, const Routes& routes) {
  const Value zero = Scalar(0, call.dy().dtype());
  Value dupdates;
  Value ddata;
  if (call.needs(0)) dupdates = Where(routes.IsLastWrite(), routes.Gather(call.dy()), zero);
  if (call.needs(2)) ddata = routes.Scatter(ZerosLike(call.input_spec(0)), call.dy(), "none");
  return {dupdates, {}, ddata};
}

// Each factor's derivative is the product of the others. Zeros are counted and left out of the
// product p: with one zero factor in a place only that factor has a derivative, with two none has.
// What is multiplied with a sum of zeros is zero, and has the derivatives by those zeros that the
// next order needs.
Values ProductVjp(const VjpCall& call, const Routes& routes) {
  const Value updates = call.input(0);
  const Value data = call.input(2);
  const DType dtype = updates.dtype();
  const auto zero_mask = [&](const Value& x) { return Equal(x, 0.0); };
  const auto non_zero = [&](const Value& x) { return Where(zero_mask(x), Scalar(1, dtype), x); };
  const Value zeros =
      routes.Scatter(Mask(zero_mask(updates), dtype), Mask(zero_mask(data), dtype), "add");
  const Value p = routes.Scatter(non_zero(updates), non_zero(data), "mul");
  const Value dp = call.dy() * p;
  const auto only_zeros = [&](const Value& x) { return Where(zero_mask(x), x, Scalar(0, dtype)); };
  const Value sum = routes.Scatter(only_zeros(updates), only_zeros(data), "add");
  const Value dp_none = dp * Mask(Equal(zeros, 0.0), dtype);
  const Value dp_one = dp * Mask(Equal(zeros, 1.0), dtype);
  const Value dp_two = dp * Mask(Equal(zeros, 2.0), dtype);
  const Value of_zero = dp_one + dp_two * sum;  // but for the zero itself, which is in the sum
  const Value of_others = dp_none + dp_one * sum;
  const auto part = [&](const Value& x, const auto& at) {
    return Where(zero_mask(x), at(of_zero) - at(dp_two) * x, at(of_others) / non_zero(x));
  };
  Value dupdates;
  Value ddata;
  if (call.needs(0)) dupdates = part(updates, [&](const Value& v) { return routes.Gather(v); });
  if (call.needs(2)) ddata = part(data, [](const Value& v) { return v; });
  return {dupdates, {}, ddata};
}

// The gradient goes to whatever equals the extremum, in equal parts.
Values ExtremumVjp(const VjpCall& call, const Routes& routes) {
  const Value y = call.output(0);
  const DType dtype = y.dtype();
  const Value from_updates = Mask(Equal(call.input(0), routes.Gather(y)), dtype);
  const Value from_data = Mask(Equal(call.input(2), y), dtype);
  const Value share = call.dy() / routes.Scatter(from_updates, from_data, "add");
  return {routes.Gather(share) * from_updates, {}, share * from_data};
}

Values ScatterVjp(const VjpCall& call) {
  const Routes routes(call);
  switch (ParseReduction(call.attributes().String("reduction", "none"))) {
    case Reduction::kNone:
      return ReplaceVjp(call, routes);
    case Reduction::kAdd:
      return {routes.Gather(call.dy()), {}, call.has(2) ? call.dy() : Value()};
    case Reduction::kMul:
      return ProductVjp(call, routes);
    default:
      return ExtremumVjp(call, routes);
  }
}

GRADWIRE_OP({.name = "ScatterElements",
             .domain = "gradwire",
             .inputs = {2, 3},
             .types = kNumbers | kBool | DType::kString,
             .attributes = {"axis", "reduction", "shape"},
             .infer = InferScatterElements,
             .cpu = ScatterCpu,
             .vjp = ScatterVjp,
             .saves = {.inputs = ~0u, .outputs = ~0u}});
GRADWIRE_OP({.name = "ScatterND",
             .domain = "gradwire",
             .inputs = {2, 3},
             .types = kNumbers | kBool | DType::kString,
             .attributes = {"batch_dims", "reduction", "shape"},
             .infer = InferScatterNd,
             .cpu = ScatterCpu,
             .vjp = ScatterVjp,
             .saves = {.inputs = ~0u, .outputs = ~0u}});

// ---- ONNX's rows

// `reduction` came with opset 16, max and min with 18.
std::string ReductionOf(const OpCall& call) {
  std::string reduction = call.attributes().String("reduction", "none");
  const Reduction parsed = ParseReduction(reduction);
  if (call.op().since < 18 && (parsed == Reduction::kMax || parsed == Reduction::kMin)) {
    throw Error(reason::kInvalidArgument, fmt::format("reduction '{}' needs opset 18", reduction));
  }
  return reduction;
}

Values DecomposeScatterElements(const OpCall& call) {
  return {Call("gradwire::ScatterElements", {call.input(2), call.input(1), call.input(0)},
               {{"axis", int64_t{call.Axis("axis", 0)}}, {"reduction", ReductionOf(call)}})};
}

Values DecomposeScatterNd(const OpCall& call) {
  return {Call("gradwire::ScatterND", {call.input(2), call.input(1), call.input(0)},
               {{"reduction", ReductionOf(call)}})};
}

OpDef Row(std::string_view name, int since, std::vector<std::string_view> attributes,
          Decompose decompose) {
  return {.name = name,
          .since = since,
          .inputs = 3,
          .types = kNumbers | kBool | DType::kString,
          .attributes = std::move(attributes),
          .decompose = decompose};
}

GRADWIRE_OP(Row("Scatter", 9, {"axis"}, DecomposeScatterElements));
GRADWIRE_OP(Row("ScatterElements", 11, {"axis"}, DecomposeScatterElements));
GRADWIRE_OP(Row("ScatterElements", 16, {"axis", "reduction"}, DecomposeScatterElements));
GRADWIRE_OP(Row("ScatterElements", 18, {"axis", "reduction"}, DecomposeScatterElements));
GRADWIRE_OP(Row("ScatterND", 11, {}, DecomposeScatterNd));
GRADWIRE_OP(Row("ScatterND", 16, {"reduction"}, DecomposeScatterNd));
GRADWIRE_OP(Row("ScatterND", 18, {"reduction"}, DecomposeScatterNd));

// ---- TensorScatter: update i of a sequence goes to place write_index + i of the cache

Values DecomposeTensorScatter(const OpCall& call) {
  if (IsSmall(call)) return MovedAsFloat32(call);
  const int axis = call.Axis("axis", -2);
  const Dims& cache = call.dims(0);
  const Dims& update = call.dims(1);
  Dims expected = cache;
  if (call.rank(1) == call.rank(0)) expected[size_t(axis)] = update[size_t(axis)];
  if (axis == 0 || update != expected || update[size_t(axis)] > cache[size_t(axis)]) {
    throw Error(reason::kShapeMismatch,
                fmt::format("past_cache is {}, update is {}: they must agree but for axis {}, "
                            "which may be shorter in update and not the first",
                            ToString(call.spec(0)), ToString(call.spec(1)), axis));
  }
  const std::string mode = call.attributes().String("mode", "linear");
  if (mode != "linear" && mode != "circular") {
    throw Error(reason::kInvalidArgument, fmt::format("mode '{}' is not known", mode));
  }
  std::vector<int64_t> steps(static_cast<size_t>(update[size_t(axis)]));
  std::iota(steps.begin(), steps.end(), 0);
  Dims along(update.size(), 1);
  along[size_t(axis)] = update[size_t(axis)];
  Value indices = Reshape(IntVector(steps), along);
  if (call.has(2)) {
    Dims batch(update.size(), 1);
    batch[0] = update[0];
    indices = indices + Reshape(call.input(2), batch);
  }
  if (mode == "circular") {
    const Value extent = Scalar(static_cast<double>(cache[size_t(axis)]), DType::kInt64);
    indices = Call("Mod", {indices, extent});
  }
  return {Call("gradwire::ScatterElements", {call.input(1), Expand(indices, update), call.input(0)},
               {{"axis", int64_t{axis}}})};
}

GRADWIRE_OP({.name = "TensorScatter",
             .since = 24,
             .inputs = {2, 3},
             .types = kReal | DType::kString,
             .attributes = {"axis", "mode"},
             .decompose = DecomposeTensorScatter});

}  // namespace
}  // namespace gradwire
