// Gradient checkpointing: a function whose results keep only its inputs; what its derivative reads
// is computed again on the way back (Griewank and Walther, 2000).
#ifndef GRADWIRE_AUTOGRAD_CHECKPOINT_H_
#define GRADWIRE_AUTOGRAD_CHECKPOINT_H_

#include <functional>

#include "graph/value.h"

namespace gradwire {

// Traces operators from the inputs to its results. Called again for each walk, in a later trace of
// the same session: it holds all that it reads besides the inputs. The same inputs and random seeds
// give the same results.
using TracedFunction = std::function<Values(const Values& inputs)>;

// function(inputs), as one node of the graph. Random operators draw the same numbers when it is
// computed again. Gradients of any order are those of the function traced without this.
Values Checkpoint(TracedFunction function, const Values& inputs);

}  // namespace gradwire

#endif  // GRADWIRE_AUTOGRAD_CHECKPOINT_H_
