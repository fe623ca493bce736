// Calls with 16-bit floats. Some kernels take them as they are, which KernelTraits says; all else
// is computed in float32, between casts. Both give the same bits, but where a derivative reads what
// a call has made: it was rounded then.
#ifndef GRADWIRE_GRAPH_HALVES_H_
#define GRADWIRE_GRAPH_HALVES_H_

#include <cstdint>

#include "graph/op.h"
#include "graph/value.h"

namespace gradwire {

// Whether a call of the row in the current trace is a node whose kernel takes these inputs, some of
// them 16-bit floats, as they are.
bool TakesHalves(const OpDef& op, const Values& inputs);

// Results of float32 as such of `half`: those that `which` has a bit for; the last bit is for all
// further ones. A call that has not run yet, whose 16-bit inputs were cast for it, and whose kernel
// takes such, becomes one without casts; then its other results are that one's, too, where they
// have the same type. Other results stay.
Values Narrow(Values results, DType half, uint32_t which = ~0u);

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_HALVES_H_
