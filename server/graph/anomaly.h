// The search for NaN and Inf: results that a client asked to be watched are looked at as soon as
// they are computed, so that the first that goes wrong is named. Costs a pass over each, and off
// the CPU a copy.
#ifndef GRADWIRE_GRAPH_ANOMALY_H_
#define GRADWIRE_GRAPH_ANOMALY_H_

#include <span>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "core/error.h"
#include "graph/node.h"

namespace gradwire {

// What is thrown when the outputs of a node hold NaN or Inf: `error`, and what was found. Inf that
// was among `inputs` already is no finding: a mask may hold it on purpose.
struct Watch {
  Error error;
  Values inputs;
};

// Has `value`, which was made from `inputs`, looked at; at once where it is computed already.
// Nothing is done where it is one of them, or watched already.
void WatchFor(const Value& value, const Error& error, const Values& inputs);

// Throws the watch's error if the node's outputs, which are ready, give reason to.
void CheckWatch(const Node& node, const Watch& watch, Stream& stream);

// "Gemm(float32[2,3], float32[3,4]) -> float32[2,4]".
std::string Signature(std::string_view op, const Values& inputs,
                      std::span<const TensorSpec> outputs);

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_ANOMALY_H_
