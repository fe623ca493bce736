// What Dropout's kernels on each device share.
#ifndef GRADWIRE_OPS_DROPOUT_H_
#define GRADWIRE_OPS_DROPOUT_H_

#include <cstdint>

#include "core/attributes.h"

namespace gradwire {

// What kept elements are multiplied with.
double KeptScale(const Attributes& attributes);
// mask[i]: whether numpy.random.RandomState(seed).uniform(size=n)[i] >= ratio.
void DrawNumpyMask(uint64_t seed, double ratio, int64_t n, bool* mask);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_DROPOUT_H_
