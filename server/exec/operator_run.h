// One operator's call on arrays that are there.
#ifndef GRADWIRE_EXEC_OPERATOR_RUN_H_
#define GRADWIRE_EXEC_OPERATOR_RUN_H_

#include <span>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "backend/backend.h"
#include "core/error.h"
#include "graph/kernel.h"
#include "graph/op.h"

namespace gradwire {

using Tensors = absl::InlinedVector<Tensor, 4>;

// What is called, and which call of a request it is.
struct OperatorCall {
  const OpDef& op;
  Kernel kernel;  // the device's; null where the host computes it
  const Attributes& attributes;
  const Origin& origin;
  onednn::Packed* packed = nullptr;  // PlanStep::packed
};

// Fills the outputs, with the kernel of the stream's device or on the host.
void RunKernel(const OperatorCall& call, const Tensors& inputs, Tensors& outputs, Stream& stream);

// Whether output 0 of `spec` may take over the memory of an input.
inline bool MayDonate(const OpDef& op, const TensorSpec& input, const TensorSpec& spec) {
  // A buffer of strings holds pools: those of one array, not of the next.
  return op.in_place && spec.dtype != DType::kString && input.dims == spec.dims &&
         BitWidth(input.dtype) == BitWidth(spec.dtype);
}

// The buffer of an input that output 0 may take over; null where there is none. `donates(i)`: may
// input i be overwritten?
template <class Donates>
BufferPtr DonatedBy(const OpDef& op, const Tensors& inputs, const TensorSpec& spec,
                    const Donates& donates) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] && MayDonate(op, inputs[i].spec(), spec) && donates(i)) return inputs[i].buffer();
  }
  return nullptr;
}

// Calls `run`; its errors say where they come from: those of the trace are placed by the verb that
// traces, a kernel's only here.
template <class Run>
void Placed(const OpDef& op, const Origin& origin, const Run& run) {
  try {
    run();
  } catch (Error& error) {
    if (error.reason().name != reason::kNonFinite.name) SayWhere(op, origin, error);
    throw;
  }
}

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_OPERATOR_RUN_H_
