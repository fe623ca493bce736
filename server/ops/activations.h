// The activations that attributes of RNN, GRU and LSTM name.
#ifndef GRADWIRE_OPS_ACTIVATIONS_H_
#define GRADWIRE_OPS_ACTIVATIONS_H_

#include <string>
#include <vector>

#include "graph/op_call.h"

namespace gradwire {

struct Activation {
  std::string name;  // in lower case
  double alpha = 0;
  double beta = 0;

  // Throws INVALID_ARGUMENT for a name that is not known.
  Value operator()(const Value& x) const;
};

// The activations of all directions, `defaults` for each where none are given. Those that have
// parameters take them from the attributes in turn. Throws INVALID_ARGUMENT for too few.
std::vector<Activation> Activations(const OpCall& call, const std::vector<std::string>& defaults,
                                    size_t directions);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_ACTIVATIONS_H_
