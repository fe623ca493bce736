// Convolutions with filters of 3 x 3 by fewer multiplications: Winograd's F(4x4, 3x3) and, for few
// pixels, F(2x2, 3x3), as in Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks"
// (2016).
#ifndef GRADWIRE_OPS_WINOGRAD_H_
#define GRADWIRE_OPS_WINOGRAD_H_

#include "graph/kernel.h"
#include "ops/conv_dnnl.h"

namespace gradwire {

// Bytes of the transformed filter that ConvByWinograd keeps: 4 times the filter's or, for few
// pixels, 16/9 times, in whole strips (ops/product.h). 0 for a form that it does not compute, or
// not faster than a direct convolution: it takes one group, strides and dilations of 1, channels in
// whole vectors, and enough of an image.
int64_t WinogradBytes(const ConvForm& form);

// The kernel of gradwire::Conv for float32 images with their channels last and weights that stay
// the same, of which context.packed() keeps the transformed filter. Rounds about twice as coarsely
// as a direct convolution, in units of the largest products of the 6 x 6 pixels around; infinities
// and NaN reach up to 3 pixels farther than the filter does, and infinities become NaN.
// REQUIRES: WinogradBytes(form) > 0.
void ConvByWinograd(KernelContext& context, const ConvForm& form);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_WINOGRAD_H_
