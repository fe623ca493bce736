// Makes chains of a plan's elementwise steps.
#ifndef GRADWIRE_EXEC_FUSION_H_
#define GRADWIRE_EXEC_FUSION_H_

#include "backend/backend.h"
#include "exec/plan.h"

namespace gradwire {

// The same plan with chains (exec/chain.h) where elementwise steps of one shape follow each other,
// with nothing but views and other elementwise steps between them, and share arrays. It gives the
// same numbers to the bit. `stream` is one that the plan is to run on; on a GPU this is where
// chains are compiled.
Plan Fuse(Plan plan, Stream& stream);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_FUSION_H_
