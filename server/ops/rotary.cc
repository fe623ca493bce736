// RotaryEmbedding: pairs of features are turned by angles that grow with the position.
#include <fmt/format.h>

#include "graph/formula.h"

namespace gradwire {
namespace {

// X as [batch, length, heads, size].
Value ByPosition(const OpCall& call) {
  const Value x = call.input(0);
  if (x.rank() == 4) return Transpose(x, {0, 2, 1, 3});
  if (x.rank() != 3) {
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, rank 3 or 4 is expected", ToString(x.spec())));
  }
  const int64_t heads = call.attributes().Int("num_heads");
  if (heads < 1 || x.dims()[2] % heads != 0) {
    throw Error(reason::kShapeMismatch, fmt::format("X is {}, which has not num_heads={} heads",
                                                    ToString(x.spec()), heads));
  }
  return Reshape(x, {x.dims()[0], x.dims()[1], heads, x.dims()[2] / heads});
}

// Input i, a table of cosines or sines, as [batch, length, 1, pairs] of x's positions.
Value Angles(const OpCall& call, size_t i, const Value& x, int64_t pairs) {
  Value table = call.input(i);
  if (call.has(3)) table = Call("Gather", {table, call.input(3)}, {{"axis", int64_t{0}}});
  if (table.dims() != Dims{x.dims()[0], x.dims()[1], pairs}) {
    throw Error(
        reason::kShapeMismatch,
        fmt::format("X is {}, input {} at its positions is {}: expected {}", ToString(call.spec(0)),
                    i, ToString(table.dims()), ToString(Dims{x.dims()[0], x.dims()[1], pairs})));
  }
  return Unsqueeze(table, {2});
}

Values DecomposeRotary(const OpCall& call) {
  const Value x = ByPosition(call);
  const int64_t size = x.dims()[3];
  int64_t turned = call.attributes().Int("rotary_embedding_dim", 0);
  if (turned == 0) turned = size;
  if (turned < 0 || turned > size || turned % 2 != 0) {
    throw Error(
        reason::kInvalidArgument,
        fmt::format("{} of {} features are to be turned: expected an even number", turned, size));
  }
  const int64_t pairs = turned / 2;
  const bool interleaved = call.attributes().Int("interleaved", 0) != 0;
  const int64_t step = interleaved ? 2 : 1;
  const int64_t second = interleaved ? 1 : pairs;
  const Value a = Slice(x, {0}, {interleaved ? turned : pairs}, {3}, {step});
  const Value b = Slice(x, {second}, {turned}, {3}, {step});
  const Value cosine = Angles(call, 1, x, pairs);
  const Value sine = Angles(call, 2, x, pairs);
  const Value real = cosine * a - sine * b;
  const Value imaginary = sine * a + cosine * b;

  Dims dims = x.dims();
  dims[3] = turned;
  Value y = interleaved
                ? Reshape(Concat({Unsqueeze(real, {4}), Unsqueeze(imaginary, {4})}, 4), dims)
                : Concat({real, imaginary}, 3);
  if (turned < size) y = Concat({y, Slice(x, {turned}, {size}, {3}, {1})}, 3);
  if (call.rank(0) == 4) return {Transpose(y, {0, 2, 1, 3})};
  return {Reshape(y, call.dims(0))};
}

GRADWIRE_OP({.name = "RotaryEmbedding",
             .since = 23,
             .inputs = {3, 4},
             .attributes = {"interleaved", "num_heads", "rotary_embedding_dim"},
             .decompose = DecomposeRotary});

}  // namespace
}  // namespace gradwire
