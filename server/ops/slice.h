// What ReverseSequence's kernels on each device share.
#ifndef GRADWIRE_OPS_SLICE_H_
#define GRADWIRE_OPS_SLICE_H_

#include <cstdint>

namespace gradwire {

// Throws INVALID_ARGUMENT for a sequence length outside [0, extent].
[[noreturn]] void RefuseLength(int64_t length, int64_t extent);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_SLICE_H_
