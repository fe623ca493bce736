// The upper or lower triangle of matrices; its own adjoint.
#include <fmt/format.h>

#include <algorithm>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/strided.h"

namespace gradwire {
namespace {

Specs InferTrilu(const OpCall& call) {
  if (call.rank(0) < 2) {
    throw Error(reason::kShapeMismatch,
                fmt::format("input is {}: a matrix or a batch expected", ToString(call.spec(0))));
  }
  return {call.spec(0)};
}

// Row i keeps the columns from i + k on, or those up to it.
void TriluKernel(KernelContext& context) {
  const Dims& dims = context.input(0).dims();
  const int64_t columns = dims.back();
  const int64_t rows = dims[dims.size() - 2];
  const int64_t total = context.input(0).numel();
  if (total == 0) return;
  const bool upper = context.attributes().Int("upper") != 0;
  const int64_t k = std::clamp(context.attributes().Int("k"), -rows, columns);
  DispatchWidth(context.input(0).dtype(), [&]<class T>() {
    const T* in = context.in<T>(0);
    T* out = context.out<T>(0);
    const int64_t grain = std::max<int64_t>(1, (1 << 15) / columns);
    ParallelFor(total / columns, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t diagonal = r % rows + k;
        const int64_t split = std::clamp<int64_t>(upper ? diagonal : diagonal + 1, 0, columns);
        const T* from = in + r * columns;
        T* to = out + r * columns;
        if (upper) {
          std::fill_n(to, split, T{});
          std::copy(from + split, from + columns, to + split);
        } else {
          std::copy_n(from, split, to);
          std::fill(to + split, to + columns, T{});
        }
      }
    });
  });
}

Values TriluVjp(const VjpCall& call) {
  return {Call("gradwire::Trilu", {call.dy()}, call.attributes())};
}

GRADWIRE_OP({.name = "Trilu",
             .domain = "gradwire",
             .types = kMoved,
             .attributes = {"k", "upper"},
             .infer = InferTrilu,
             .cpu = TriluKernel,
             .vjp = TriluVjp});

Values DecomposeTrilu(const OpCall& call) {
  const int64_t k = call.has(1) ? call.Int(1) : 0;
  return {Call("gradwire::Trilu", {call.input(0)},
               {{"k", k}, {"upper", call.attributes().Int("upper", 1)}})};
}

GRADWIRE_OP({.name = "Trilu",
             .since = 14,
             .inputs = {1, 2},
             .types = kMoved,
             .attributes = {"upper"},
             .decompose = DecomposeTrilu});

}  // namespace
}  // namespace gradwire
