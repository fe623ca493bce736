// Lets products do what elementwise steps would do to their results.
#ifndef GRADWIRE_EXEC_EPILOGUE_H_
#define GRADWIRE_EXEC_EPILOGUE_H_

#include "exec/plan.h"

namespace gradwire {

// The same plan, in which kernels with epilogues (graph/op.h) add the bias and apply the activation
// that came after them in steps of their own, where nobody else read what was between.
Plan FuseEpilogues(Plan plan);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_EPILOGUE_H_
