// Layers that carry a state from token to token: LinearAttention and CausalConvWithState.
#include <fmt/format.h>

#include <cmath>

#include "graph/formula.h"
#include "ops/norm.h"

namespace gradwire {
namespace {

// ---- LinearAttention: state[t] = decay * state[t-1] + k (x) v, of which a query reads q . state.

struct Heads {
  int64_t batch, length;
  int64_t queries, keys;  // counts of heads
  int64_t key_size, value_size;
};

[[noreturn]] void RefuseShape(const OpCall& call, size_t i, const std::string& expected) {
  throw Error(reason::kShapeMismatch,
              fmt::format("query is {}, input {} is {}: expected {}", ToString(call.spec(0)), i,
                          ToString(call.spec(i)), expected));
}

Heads ReadHeads(const OpCall& call) {
  Heads heads{.queries = call.attributes().Int("q_num_heads"),
              .keys = call.attributes().Int("kv_num_heads")};
  if (heads.keys < 1 || heads.queries < 1 || heads.queries % heads.keys != 0) {
    throw Error(reason::kInvalidArgument,
                fmt::format("q_num_heads is {}, expected a multiple of kv_num_heads, {}",
                            heads.queries, heads.keys));
  }
  for (const size_t i : {0, 1, 2}) {
    if (call.rank(i) != 3) RefuseShape(call, i, "[batch,length,heads * size]");
  }
  heads.batch = call.dims(0)[0];
  heads.length = call.dims(0)[1];
  heads.key_size = call.dims(0)[2] / heads.queries;
  heads.value_size = call.dims(2)[2] / heads.keys;
  const auto require = [&](size_t i, int64_t width) {
    const Dims dims{heads.batch, heads.length, width};
    if (call.dims(i) != dims) RefuseShape(call, i, ToString(dims));
  };
  require(0, heads.queries * heads.key_size);
  require(1, heads.keys * heads.key_size);
  require(2, heads.keys * heads.value_size);
  const Dims state{heads.batch, heads.keys, heads.key_size, heads.value_size};
  if (call.has(3) && call.dims(3) != state) RefuseShape(call, 3, ToString(state));
  if (call.has(4)) {
    const int64_t each = heads.keys * heads.key_size;
    require(4, call.rank(4) == 3 && call.dims(4)[2] == each ? each : heads.keys);
  }
  if (call.has(5)) require(5, call.rank(5) == 3 && call.dims(5)[2] == 1 ? 1 : heads.keys);
  return heads;
}

// Input i of each token, [batch, 1, width]; absent Values when it was left out.
Values Tokens(const OpCall& call, size_t i, DType dtype, int64_t length) {
  if (!call.has(i)) return Values(static_cast<size_t>(length));
  const Value x = Cast(call.input(i), dtype);
  if (length == 1) return {x};
  return ApplyAll(
      "gradwire::Split", {x},
      {{"axis", int64_t{1}}, {"split", std::vector<int64_t>(static_cast<size_t>(length), 1)}},
      static_cast<int>(length));
}

struct Rule {
  bool gated = false;  // decay is used
  bool delta = false;  // beta is used
};

Rule ReadRule(const OpCall& call) {
  const std::string name = call.attributes().String("update_rule", "gated_delta");
  const Rule rule{name == "gated" || name == "gated_delta",
                  name == "delta" || name == "gated_delta"};
  if (!rule.gated && !rule.delta && name != "linear") {
    throw Error(
        reason::kInvalidArgument,
        fmt::format("update_rule '{}' is not one of linear, gated, delta, gated_delta", name));
  }
  if (rule.gated != call.has(4) || rule.delta != call.has(5)) {
    throw Error(reason::kInvalidArgument,
                fmt::format("update_rule '{}' takes {} decay and {} beta", name,
                            rule.gated ? "a" : "no", rule.delta ? "a" : "no"));
  }
  return rule;
}

Values DecomposeLinearAttention(const OpCall& call) {
  call.RequireType(3, kFloats | kHalves);
  const Rule rule = ReadRule(call);
  const Heads heads = ReadHeads(call);
  const DType dtype = ComputeType(call.dtype(0));
  double scale = call.attributes().Float("scale", 0);
  if (scale == 0) scale = 1 / std::sqrt(static_cast<double>(heads.key_size));
  const int64_t group = heads.queries / heads.keys;
  const Dims state_dims{heads.batch, heads.keys, heads.key_size, heads.value_size};
  Value state = call.has(3) ? Cast(call.input(3), dtype) : Full(state_dims, 0, dtype);

  const auto tokens = [&](size_t i) { return Tokens(call, i, dtype, heads.length); };
  const Values q = tokens(0), k = tokens(1), v = tokens(2), decay = tokens(4), beta = tokens(5);
  Values outputs;
  for (size_t t = 0; t < static_cast<size_t>(heads.length); ++t) {
    const Value key = Reshape(k[t], {heads.batch, heads.keys, 1, heads.key_size});
    Value value = Reshape(v[t], {heads.batch, heads.keys, 1, heads.value_size});
    if (rule.gated) {
      const int64_t width = decay[t].dims()[2] / heads.keys;
      state = state * Exp(Reshape(decay[t], {heads.batch, heads.keys, width, 1}));
    }
    if (rule.delta) {
      const Value rate = Reshape(beta[t], {heads.batch, beta[t].dims()[2], 1, 1});
      value = rate * (value - MatMul(key, state));
    }
    state = state + MatMul(key, value, /*transpose_a=*/true);
    const Value query = Reshape(q[t], {heads.batch, heads.keys, group, heads.key_size});
    outputs.push_back(
        Reshape(MatMul(query, state), {heads.batch, 1, heads.queries * heads.value_size}));
  }
  Value y = outputs.empty() ? Full({heads.batch, 0, heads.queries * heads.value_size}, 0, dtype)
                            : Concat(outputs, 1) * scale;
  return {Cast(y, call.dtype(0)), Cast(state, call.dtype(call.has(3) ? 3 : 0))};
}

GRADWIRE_OP({.name = "LinearAttention",
             .since = 27,
             .inputs = {3, 6},
             .outputs = {1, 2},
             .types = kFloats | kHalves,
             .attributes = {"chunk_size", "kv_num_heads", "q_num_heads", "scale", "update_rule"},
             .decompose = DecomposeLinearAttention});

// ---- CausalConvWithState: each channel's own convolution with what came before.

Values DecomposeCausalConv(const OpCall& call) {
  const auto refuse = [&](size_t i, const std::string& expected) {
    throw Error(reason::kShapeMismatch,
                fmt::format("input is {}, weight is {}, input {} is {}: expected {}",
                            ToString(call.spec(0)), ToString(call.spec(1)), i,
                            ToString(call.spec(i)), expected));
  };
  const Value x = call.input(0);
  if (x.rank() != 3) refuse(0, "[batch,channels,length]");
  const int64_t channels = x.dims()[1];
  if (call.rank(1) != 3 || call.dims(1)[0] != channels || call.dims(1)[1] != 1 ||
      call.dims(1)[2] < 1) {
    refuse(1, fmt::format("[{},1,k]", channels));
  }
  const int64_t before = call.dims(1)[2] - 1;
  const Dims state{x.dims()[0], channels, before};
  if (call.has(3) && call.dims(3) != state) refuse(3, ToString(state));
  const std::string activation = call.attributes().String("activation", "none");
  if (activation != "none" && activation != "silu" && activation != "swish") {
    throw Error(reason::kInvalidArgument,
                fmt::format("activation '{}' is not one of none, silu, swish", activation));
  }
  const Value past = call.has(3) ? call.input(3) : Full(state, 0, x.dtype());
  const Value padded = Concat({past, x}, 2);
  Value y = Call("Conv", {padded, call.input(1), call.input(2)}, {{"group", channels}});
  if (activation != "none") y = Call("Swish", {y});
  const int64_t end = padded.dims()[2];
  return {y, Slice(padded, {end - before}, {end}, {2}, {1})};
}

GRADWIRE_OP({.name = "CausalConvWithState",
             .since = 27,
             .inputs = {2, 4},
             .outputs = {1, 2},
             .attributes = {"activation"},
             .decompose = DecomposeCausalConv});

}  // namespace
}  // namespace gradwire
