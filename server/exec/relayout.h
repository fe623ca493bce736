// Lets the images of a plan lie as its convolutions like them.
#ifndef GRADWIRE_EXEC_RELAYOUT_H_
#define GRADWIRE_EXEC_RELAYOUT_H_

#include "exec/plan.h"

namespace gradwire {

// The same plan, for the CPU, with operators on images whose channels lie last
// (graph/channels_last.h) where convolutions ask for it, and transpositions where operators or
// callers need the usual order. Sums may be rounded otherwise.
Plan PutChannelsLast(const Plan& plan);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_RELAYOUT_H_
