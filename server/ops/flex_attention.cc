// FlexAttention: attention whose scores and probabilities pass through graphs of the model's own.
#include <fmt/format.h>

#include <cmath>

#include "graph/formula.h"
#include "graph/structured.h"

namespace gradwire {
namespace {

void CheckShapes(const Value& q, const Value& k, const Value& v) {
  const bool ranks = q.rank() == 4 && k.rank() == 4 && v.rank() == 4;
  const auto agree = [&] {
    const Dims &a = q.dims(), &b = k.dims(), &c = v.dims();
    return a[0] == b[0] && a[0] == c[0] && a[3] == b[3] && b[1] == c[1] && b[2] == c[2] &&
           b[1] > 0 && a[1] % b[1] == 0;
  };
  if (ranks && agree()) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("Q is {}, K is {}, V is {}: want [B, Hq, L, E], [B, Hkv, S, E] and "
                          "[B, Hkv, S, Ev], Hq a multiple of Hkv",
                          ToString(q.spec()), ToString(k.spec()), ToString(v.spec())));
}

// What the graph `name` makes of x; x where there is none.
Value Modified(const StructuredCall& call, std::string_view name, const Value& x) {
  if (call.FindBody(name) == nullptr) return x;
  const Value made = call.GetBody(name, 1, 1)({x})[0].tensor();
  if (made.spec() == x.spec()) return made;
  throw Error(reason::kShapeMismatch, fmt::format("the graph '{}' makes {} of {}", name,
                                                  ToString(made.spec()), ToString(x.spec())));
}

DType Precision(const StructuredCall& call) {
  const DType own = call.tensor(0).dtype();
  const DType usual = own == DType::kFloat64 ? own : DType::kFloat32;
  const DType dtype = DTypeFromCode(
      static_cast<int>(call.attributes().Int("softmax_precision", static_cast<int64_t>(usual))));
  if ((kFloats | kHalves).Contains(dtype)) return dtype;
  throw Error(reason::kDtypeMismatch,
              fmt::format("softmax_precision is {}, must be floating", Name(dtype)));
}

// Query heads that share a key head are its rows, so that no key is repeated.
Items FlexAttention(const StructuredCall& call) {
  const Value &q = call.tensor(0), &k = call.tensor(1), &v = call.tensor(2);
  CheckShapes(q, k, v);
  const DType dtype = Precision(call);
  const int64_t batch = q.dims()[0], heads = q.dims()[1], length = q.dims()[2];
  const int64_t shared = k.dims()[1], keys = k.dims()[2];
  const int64_t rows = heads / shared * length;
  const double usual = 1.0 / std::sqrt(static_cast<double>(q.dims()[3]));
  const double scale = call.attributes().Float("scale", usual);
  const Value queries = Reshape(Cast(q, dtype), {batch, shared, rows, q.dims()[3]});
  const Value products = MatMul(queries, Cast(k, dtype), false, true) * scale;
  const Value scores = Modified(call, "score_mod", Reshape(products, {batch, heads, length, keys}));
  const Value weights =
      Modified(call, "prob_mod", Call("Softmax", {scores}, {{"axis", int64_t{-1}}}));
  const Value mixed = MatMul(Reshape(weights, {batch, shared, rows, keys}), Cast(v, dtype));
  return {Cast(Reshape(mixed, {batch, heads, length, v.dims()[3]}), v.dtype())};
}

GRADWIRE_OP({.name = "FlexAttention",
             .domain = "ai.onnx.preview",
             .inputs = 3,
             .types = kFloats | kHalves,
             .attributes = {"scale", "softmax_precision", "score_mod", "prob_mod"},
             .structured = FlexAttention});

}  // namespace
}  // namespace gradwire
