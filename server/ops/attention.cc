// Attention, as a composition. Query heads that share a key head are its rows, so that no key is
// repeated.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "graph/formula.h"
#include "ops/norm.h"
#include "ops/range.h"

namespace gradwire {
namespace {

constexpr double kMasked = -std::numeric_limits<double>::infinity();

// [batch, length, heads * size] as [batch, heads, length, size].
Value SplitHeads(const OpCall& call, size_t i, const char* count) {
  const Value x = call.input(i);
  const int64_t heads = call.attributes().Int(count);
  if (heads < 1 || x.dims()[2] % heads != 0) {
    throw Error(reason::kShapeMismatch, fmt::format("input {} is {}, which has not {}={} heads", i,
                                                    ToString(x.spec()), count, heads));
  }
  const Dims& dims = x.dims();
  return Transpose(Reshape(x, {dims[0], dims[1], heads, dims[2] / heads}), {0, 2, 1, 3});
}

struct Qkv {
  Value q, k, v;  // [batch, heads, length, size]; k and v begin with the past ones

  int64_t batch() const { return q.dims()[0]; }
  int64_t queries() const { return q.dims()[2]; }
  int64_t keys() const { return k.dims()[2]; }
};

Value WithPast(const OpCall& call, size_t past, const Value& x) {
  if (!call.has(past)) return x;
  return Concat({Cast(call.input(past), x.dtype()), x}, 2);
}

Qkv ReadInputs(const OpCall& call) {
  const int rank = call.rank(0);
  if ((rank != 3 && rank != 4) || call.rank(1) != rank || call.rank(2) != rank) {
    throw Error(
        reason::kShapeMismatch,
        fmt::format("Q is {}, K is {}, V is {}: all must have rank 3 or all rank 4",
                    ToString(call.spec(0)), ToString(call.spec(1)), ToString(call.spec(2))));
  }
  Qkv heads{call.input(0), call.input(1), call.input(2)};
  if (rank == 3) {
    heads = {SplitHeads(call, 0, "q_num_heads"), SplitHeads(call, 1, "kv_num_heads"),
             SplitHeads(call, 2, "kv_num_heads")};
  }
  if (call.has(4) != call.has(5)) {
    throw Error(reason::kInvalidArgument, "past_key and past_value are used together");
  }
  heads.k = WithPast(call, 4, heads.k);
  heads.v = WithPast(call, 5, heads.v);
  const Dims& q = heads.q.dims();
  const Dims& k = heads.k.dims();
  const Dims& v = heads.v.dims();
  if (k[0] != q[0] || v[0] != q[0] || k[3] != q[3] || v[1] != k[1] || v[2] != k[2] || k[1] == 0 ||
      q[1] % k[1] != 0) {
    throw Error(reason::kShapeMismatch,
                fmt::format("Q is {}, K is {}, V is {} as [batch,heads,length,size]: expected one "
                            "batch, one size of Q and K, one length of K and V, and query heads "
                            "that are a multiple of theirs",
                            ToString(q), ToString(k), ToString(v)));
  }
  return heads;
}

// The mask, filled up to all keys with such as are not attended to; absent when there is none.
Value PaddedMask(const OpCall& call, int64_t keys) {
  Value mask = call.input(3);
  if (!mask || mask.rank() == 0 || mask.dims().back() == keys) return mask;
  Dims rest = mask.dims();
  rest.back() = keys - rest.back();
  if (rest.back() < 0) {
    throw Error(reason::kShapeMismatch, fmt::format("attn_mask is {}, expected at most {} keys",
                                                    ToString(mask.spec()), keys));
  }
  const double filler = mask.dtype() == DType::kBool ? 0 : kMasked;
  return Concat({mask, Full(rest, filler, mask.dtype())}, mask.rank() - 1);
}

// Which keys may be attended to; absent when all. Broadcasts to [batch, heads, queries, keys].
Value Allowed(const OpCall& call, const Qkv& heads, const Value& mask) {
  Value allowed;
  const auto also = [&](const Value& more) { allowed = allowed ? And(allowed, more) : more; };
  if (mask && mask.dtype() == DType::kBool) also(mask);
  if (call.attributes().Int("is_causal", 0) != 0) {
    const int64_t past = call.has(4) ? call.dims(4)[2] : 0;
    const Value last = IotaAlong(0, 2, heads.queries()) + static_cast<double>(past);
    also(LessOrEqual(IotaAlong(1, 2, heads.keys()), last));
  }
  if (call.has(6)) {
    const Value lengths = Reshape(Cast(call.input(6), DType::kInt64), {heads.batch(), 1, 1, 1});
    also(Less(IotaAlong(3, 4, heads.keys()), lengths));
  }
  return allowed;
}

Value Softcap(const Value& scores, double cap) {
  return cap > 0 ? Tanh(scores / cap) * cap : scores;
}

// Computes at least as precisely as `softmax_precision` says.
Value SoftmaxOf(const OpCall& call, const Value& scores) {
  const int64_t code = call.attributes().Int("softmax_precision", 0);
  const bool wide = code == static_cast<int>(DType::kFloat64);
  const Value x = wide ? Cast(scores, DType::kFloat64) : scores;
  return Cast(Call("Softmax", {x}, {{"axis", int64_t{-1}}}), scores.dtype());
}

Values DecomposeAttention(const OpCall& call) {
  const Qkv heads = ReadInputs(call);
  const DType dtype = ComputeType(call.dtype(0));
  const Dims& q = heads.q.dims();
  const int64_t kv_heads = heads.k.dims()[1];
  const int64_t rows = heads.queries() * (q[1] / kv_heads);
  const double scale = call.attributes().Float(
      "scale", 1 / std::sqrt(static_cast<double>(std::max<int64_t>(1, q[3]))));

  const Value scaled = Reshape(Cast(heads.q, dtype) * scale, {q[0], kv_heads, rows, q[3]});
  const Value products =
      Reshape(MatMul(scaled, Cast(heads.k, dtype), /*transpose_a=*/false, /*transpose_b=*/true),
              {q[0], q[1], q[2], heads.keys()});
  const Value capped = Softcap(products, call.attributes().Float("softcap", 0));
  const Value mask = PaddedMask(call, heads.keys());
  Value biased = capped;
  if (mask && mask.dtype() != DType::kBool) biased = biased + Cast(mask, dtype);
  if (const Value allowed = Allowed(call, heads, mask)) {
    biased = Where(allowed, biased, Scalar(kMasked, dtype));
  }
  if (biased.dims() != products.dims()) {
    throw Error(reason::kShapeMismatch,
                fmt::format("the mask broadcasts {} to {}", ToString(products.dims()),
                            ToString(biased.dims())));
  }
  const Value weights = SoftmaxOf(call, biased);
  Value y = MatMul(Reshape(weights, {q[0], kv_heads, rows, heads.keys()}), Cast(heads.v, dtype));
  const int64_t size = y.dims()[3];
  y = Reshape(y, {q[0], q[1], q[2], size});
  if (call.rank(0) == 3) y = Reshape(Transpose(y, {0, 2, 1, 3}), {q[0], q[2], q[1] * size});

  const int64_t mode = call.attributes().Int("qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3) {
    throw Error(reason::kInvalidArgument,
                fmt::format("qk_matmul_output_mode is {}, expected 0 to 3", mode));
  }
  const Value stages[] = {products, capped, biased, weights};
  return {Cast(y, call.dtype(0)), heads.k, heads.v, Cast(stages[mode], call.dtype(0))};
}

OpDef Row(int since, int inputs) {
  return {.name = "Attention",
          .since = since,
          .inputs = {3, inputs},
          .outputs = {1, 4},
          .types = kFloats | kHalves,
          .attributes = {"is_causal", "kv_num_heads", "q_num_heads", "qk_matmul_output_mode",
                         "scale", "softcap", "softmax_precision"},
          .decompose = DecomposeAttention};
}

GRADWIRE_OP(Row(23, 6));
// Input 6 says how many keys of each sample count.
GRADWIRE_OP(Row(24, 7));

}  // namespace
}  // namespace gradwire
