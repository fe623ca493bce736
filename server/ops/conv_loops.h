// Convolutions as matrix products over unfolded inputs: what oneDNN does not convolve.
#ifndef GRADWIRE_OPS_CONV_LOOPS_H_
#define GRADWIRE_OPS_CONV_LOOPS_H_

#include "backend/backend.h"
#include "ops/window.h"

namespace gradwire {

// x[batch, groups * in_channels, ...], w[groups * out_channels, in_channels, ...] and
// y[batch, groups * out_channels, ...].
struct ConvProblem {
  Geometry geometry;
  int64_t batch, groups;
  int64_t in_channels, out_channels;  // of one group
};

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
