// What the losses' kernels on each device share.
#ifndef GRADWIRE_OPS_LOSS_H_
#define GRADWIRE_OPS_LOSS_H_

#include <cstdint>

namespace gradwire {

// Throws INVALID_ARGUMENT for a label outside [0, classes).
[[noreturn]] void RefuseLabel(int64_t label, int64_t position, int64_t classes);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_LOSS_H_
