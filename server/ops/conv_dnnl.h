// Convolutions by oneDNN.
#ifndef GRADWIRE_OPS_CONV_DNNL_H_
#define GRADWIRE_OPS_CONV_DNNL_H_

#include <cstdint>

#include "graph/kernel.h"
#include "ops/window.h"

namespace gradwire {

// The extents of the three arrays: x[n, groups * c, in...], w[groups * m, c, kernel...] and
// y[n, groups * m, out...].
struct ConvForm {
  // Whether neither strides nor dilations are above 1.
  bool IsDense() const;

  Window window;
  int64_t groups;
  Dims x, w, y;
};

// Whether oneDNN convolves these: floats when there are any, and no padding that crops a window.
bool SuitsDnnl(DType dtype, const ConvForm& form);

// Kernels of gradwire::Conv, ConvInputGrad and ConvWeightGrad (conv.cc), whose arrays are of such a
// form; images may have their channels last. REQUIRES: SuitsDnnl.
void ConvByDnnl(KernelContext& context, const ConvForm& form, bool channels_last);
void ConvInputGradByDnnl(KernelContext& context, const ConvForm& form, bool channels_last);
void ConvWeightGradByDnnl(KernelContext& context, const ConvForm& form, bool channels_last);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_CONV_DNNL_H_
