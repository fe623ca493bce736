// The kernels of batch normalisation where the channels are the last axis.
#ifndef GRADWIRE_OPS_BATCH_NORM_LAST_H_
#define GRADWIRE_OPS_BATCH_NORM_LAST_H_

#include "graph/kernel.h"

namespace gradwire {

// Each takes and makes what gradwire::BatchNorm and BatchNormGrad do, but for the order of axes;
// float32 and float64.
void BatchNormChannelsLast(KernelContext& k);
void BatchNormGradChannelsLast(KernelContext& k);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_BATCH_NORM_LAST_H_
