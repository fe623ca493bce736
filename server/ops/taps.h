// What the taps' kernels on each device share.
#ifndef GRADWIRE_OPS_TAPS_H_
#define GRADWIRE_OPS_TAPS_H_

#include <cstdint>

namespace gradwire {

// Throws INVALID_ARGUMENT for an index outside [0, rows).
[[noreturn]] void RefuseTap(int64_t index, int64_t rows);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_TAPS_H_
