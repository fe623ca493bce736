// What Step is told: the optimizer and its hyper-parameters, with the formulas of the .proto.
#ifndef GRADWIRE_SESSION_OPTIMIZER_H_
#define GRADWIRE_SESSION_OPTIMIZER_H_

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "graph/value.h"

namespace gradwire {

struct Sgd {
  double lr = 0;
  double weight_decay = 0;
};
struct Momentum {
  double lr = 0;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
};
struct Adam {
  double lr = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
};
struct AdamW {
  double lr = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
};
struct Adagrad {
  double lr = 0;
  double lr_decay = 0;
  double epsilon = 1e-10;
  double weight_decay = 0;
};
using Optimizer = std::variant<Sgd, Momentum, Adam, AdamW, Adagrad>;

// One parameter's part of a step: its values now, and how to read and bind its named state.
struct Stepping {
  Value parameter;
  Value gradient;
  // State "v", "h" or "t"; absent before the first step.
  std::function<Value(const std::string&)> state;
  std::function<void(const std::string&, Value)> bind_state;
};

// Traces the update and returns the new parameter. Throws INVALID_ARGUMENT for a hyper-parameter
// out of its range.
Value TraceStep(const Optimizer& optimizer, const Stepping& stepping);

// Traces clipping of gradients, in place: each element to [-value, value], then all together to a
// common 2-norm of at most `norm`; 0 turns either off.
void TraceClipping(std::vector<Value>& gradients, double value, double norm);

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_OPTIMIZER_H_
