// Data movement of small types.
#ifndef GRADWIRE_OPS_SMALL_H_
#define GRADWIRE_OPS_SMALL_H_

#include "core/small_types.h"
#include "graph/formula.h"

namespace gradwire {

// Whether input 0 is of a small type: then MovedAsFloat32 is the call's meaning where elements are
// only moved.
inline bool IsSmall(const OpCall& call) { return kSmall.Contains(call.dtype(0)); }

// The call on float32, which holds small numbers exactly, its result of input 0's type.
inline Values MovedAsFloat32(const OpCall& call) {
  Values inputs = call.inputs();
  for (Value& value : inputs) {
    if (value && kSmall.Contains(value.dtype())) value = Cast(value, DType::kFloat32);
  }
  return {Cast(Apply(call.op(), std::move(inputs), call.attributes(), 1)[0], call.dtype(0))};
}

}  // namespace gradwire

#endif  // GRADWIRE_OPS_SMALL_H_
