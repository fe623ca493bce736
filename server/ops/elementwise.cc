#include "ops/elementwise.h"

#include <fmt/format.h>

#include "core/parallel.h"
#include "graph/formula.h"

namespace gradwire {

LoopWalk::LoopWalk(const Dims& out, std::span<const Dims* const> operands) {
  bool flat = true;
  std::array<Dims, kMaxLoopInputs> dims;
  for (size_t k = 0; k < dims.size(); ++k) {
    const bool given = k < operands.size() && operands[k] != nullptr;
    const bool one = given && NumElements(*operands[k]) == 1;
    const bool full = given && *operands[k] == out;
    steps_[k] = full && !one ? 1 : 0;
    flat = flat && (!given || full || one);
    dims[k] = given ? *operands[k] : out;
  }
  if (!flat) loop_.emplace(out, dims);
}

void RunLoop(KernelContext& context, const Loop& loop) {
  std::array<const Dims*, kMaxLoopInputs> dims{};
  std::array<const std::byte*, kMaxLoopInputs> inputs{};
  std::array<int64_t, kMaxLoopInputs> widths{};
  for (size_t k = 0; k < context.num_inputs(); ++k) {
    if (!context.has(k)) continue;
    dims[k] = &context.input(k).dims();
    inputs[k] = context.in<std::byte>(k);
    widths[k] = BitWidth(context.input(k).dtype()) / 8;
  }
  Tensor& y = context.output(0);
  auto* output = context.out<std::byte>(0);
  const int64_t width = BitWidth(y.dtype()) / 8;
  const LoopWalk walk(y.dims(), dims);
  ParallelFor(y.numel(), loop.grain, [&](int64_t begin, int64_t end) {
    walk.Run(begin, end, [&](const LoopWalk::Offsets& at, int64_t out, int64_t count) {
      LoopCall call{.steps = walk.steps(),
                    .output = output + out * width,
                    .count = count,
                    .attributes = context.attributes()};
      for (size_t k = 0; k < inputs.size(); ++k) {
        if (inputs[k] != nullptr) call.inputs[k] = inputs[k] + at[k] * widths[k];
      }
      loop.run(call);
    });
  });
}

Specs SameAsInput(const OpCall& call) { return {call.spec(0)}; }

Specs BroadcastOfInputs(const OpCall& call) {
  call.RequireSameType(1);
  return {{call.dtype(0), BroadcastDims(call.dims(0), call.dims(1))}};
}

Specs BoolBroadcastOfInputs(const OpCall& call) {
  call.RequireSameType(1);
  return {{DType::kBool, BroadcastDims(call.dims(0), call.dims(1))}};
}

Specs BoolLikeInput(const OpCall& call) { return {{DType::kBool, call.dims(0)}}; }

Values DecomposeAxisBroadcast(const OpCall& call) {
  const Value a = call.input(0);
  Value b = call.input(1);
  const int64_t axis = call.attributes().Int("axis", a.rank() - b.rank());
  const int64_t first = axis < 0 ? axis + a.rank() : axis;
  const bool broadcast = call.attributes().Int("broadcast", 0) != 0;
  bool fits = first >= 0 && first <= a.rank() - b.rank() && (broadcast || a.dims() == b.dims());
  Dims aligned = b.dims();
  if (fits) {
    aligned.resize(static_cast<size_t>(a.rank() - first), 1);
    fits = BroadcastDims(a.dims(), aligned) == a.dims();
  }
  if (!fits) {
    throw Error(reason::kShapeMismatch,
                fmt::format("B is {}, A is {}: B does not broadcast to A with broadcast={}, "
                            "axis={}",
                            ToString(b.spec()), ToString(a.spec()), broadcast, axis));
  }
  return {Call(call.op().name, {a, Reshape(b, aligned)})};
}

}  // namespace gradwire
