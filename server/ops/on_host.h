// Reading arrays during the trace: for results whose shape is known only with the data.
#ifndef GRADWIRE_OPS_ON_HOST_H_
#define GRADWIRE_OPS_ON_HOST_H_

#include <array>

#include "core/host_tensor.h"
#include "graph/trace.h"

namespace gradwire {

// The value, computed now if it was not, as a host array.
inline Tensor OnHost(const Value& value) {
  Trace& trace = Trace::Current();
  if (!value.ready()) trace.evaluator().Evaluate(std::array{value});
  Tensor host = HostTensor(value.spec());
  trace.stream().Download(*value.tensor().buffer(), host.buffer()->data(), host.bytes());
  return host;
}

}  // namespace gradwire

#endif  // GRADWIRE_OPS_ON_HOST_H_
