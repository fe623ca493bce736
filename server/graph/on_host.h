// Arrays that the trace itself reads or computes, on the host.
#ifndef GRADWIRE_GRAPH_ON_HOST_H_
#define GRADWIRE_GRAPH_ON_HOST_H_

#include <fmt/format.h>

#include <array>

#include "backend/on_host.h"
#include "core/error.h"
#include "graph/trace.h"

namespace gradwire {

// The value, computed now if it was not, for the host to read.
inline Tensor OnHost(const Value& value) {
  Trace& trace = Trace::Current();
  trace.evaluator().Evaluate(std::array{value});
  return OnHost(value.tensor(), trace.stream());
}

// Refuses a table that is to be filled during the trace, where neither a quota nor a deadline
// looks, if it is large for what a table is.
inline void RequireTable(int64_t rows, int64_t columns) {
  constexpr int64_t kMaxElements = int64_t{1} << 24;
  if (rows >= 0 && columns >= 0 && (columns == 0 || rows <= kMaxElements / columns)) return;
  throw Error(reason::kInvalidArgument,
              fmt::format("needs a table of {} x {} elements, at most {} are possible", rows,
                          columns, kMaxElements));
}

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_ON_HOST_H_
