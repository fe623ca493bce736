// Lets steps keep copies of constants, in layouts of their own.
#ifndef GRADWIRE_EXEC_PACK_H_
#define GRADWIRE_EXEC_PACK_H_

#include <cstdint>

#include "backend/quota.h"
#include "exec/plan.h"

namespace gradwire {

// What one plan may keep of constants that operators make, and as much again of copies of weights.
int64_t MaxKeptBytes(const Quota& quota);

// Bytes that a step keeps of the input that its operator packs, in the form that it has where that
// is constant (ConstantForm); 0 where it has no such form.
int64_t BytesOfConstantForm(const Plan& plan, const PlanStep& step);

// Lets steps of a plan for the CPU keep copies of those of their inputs that are constants
// (OpDef::packs), up to `room` bytes of them, and run in the form that they have for that.
void PackConstants(Plan& plan, const NumberedTensors& constants, const PlanOptions& options,
                   int64_t room);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_PACK_H_
