// How much arithmetic an operator's call is, for profiles. The file of an operator says it, by
// GRADWIRE_FLOPS at namespace scope; of others it is not counted.
#ifndef GRADWIRE_GRAPH_FLOPS_H_
#define GRADWIRE_GRAPH_FLOPS_H_

#include <cstdint>
#include <string_view>

#include "graph/op.h"

namespace gradwire {

// Arithmetic operations of a call whose specs are known; a multiplication and its addition are two.
using Flops = int64_t (*)(const Node& node);

// Of the operator's rows, whatever their version. Before main().
bool CountFlops(std::string_view domain, std::string_view name, Flops flops);
// nullptr where they are not counted.
Flops FlopsOf(const OpDef& op);

#define GRADWIRE_FLOPS(domain, name, flops)                            \
  [[maybe_unused]] const bool GRADWIRE_CONCAT(kOpFlops, __COUNTER__) = \
      ::gradwire::CountFlops(domain, name, flops)

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_FLOPS_H_
