// gradwire::Function: results of a function that a client made, with a derivative of their own. The
// outputs are the first inputs; the others are what the derivative is with respect to.
#include <fmt/format.h>

#include "graph/op_call.h"

namespace gradwire {
namespace {

Specs InferFunction(const OpCall& call) {
  const auto outputs = static_cast<size_t>(call.num_outputs());
  if (outputs > call.num_inputs()) {
    throw Error(reason::kInvalidArgument,
                fmt::format("has {} inputs, {} outputs are asked for", call.num_inputs(), outputs));
  }
  Specs specs;
  for (size_t i = 0; i < outputs; ++i) specs.push_back(call.spec(i));
  return specs;
}

// Without a rule it is the identity of its first inputs.
Values FunctionVjp(const VjpCall& call) {
  if (call.rule() != nullptr) return call.rule()->Vjp(call);
  Values gradients(call.num_inputs());
  for (size_t i = 0; i < call.num_outputs(); ++i) gradients[i] = call.dy(i);
  return gradients;
}

GRADWIRE_OP({.name = "Function",
             .domain = "gradwire",
             .inputs = {1, kVariadic},
             .outputs = {1, kVariadic},
             .types = kAnyType,
             .infer = InferFunction,
             .vjp = FunctionVjp,
             .alias = true});

}  // namespace
}  // namespace gradwire
