// Convolutions as matrix products over unfolded inputs: what oneDNN does not convolve.
#ifndef GRADWIRE_OPS_CONV_LOOPS_H_
#define GRADWIRE_OPS_CONV_LOOPS_H_

#include "backend/backend.h"
#include "graph/kernel.h"
#include "ops/window.h"

namespace gradwire {

// x[batch, groups * in_channels, ...], w[groups * out_channels, in_channels, ...] and
// y[batch, groups * out_channels, ...].
struct ConvProblem {
  Geometry geometry;
  int64_t batch, groups;
  int64_t in_channels, out_channels;  // of one group
};

// The problems of calls of gradwire::Conv, ConvInputGrad and ConvWeightGrad (conv.cc).
ConvProblem ProblemOfConv(const KernelContext& context);
ConvProblem ProblemOfInputGrad(const KernelContext& context);
ConvProblem ProblemOfWeightGrad(const KernelContext& context);

// Instantiated for float and double. `bias` may be null.
template <class T>
void ConvForward(Stream& stream, const ConvProblem& problem, const T* x, const T* w, const T* bias,
                 T* y);
template <class T>
void ConvInputGrad(Stream& stream, const ConvProblem& problem, const T* dy, const T* w, T* dx);
template <class T>
void ConvWeightGrad(Stream& stream, const ConvProblem& problem, const T* x, const T* dy, T* dw);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_CONV_LOOPS_H_
