// Sliding windows on the GPU: ops/window.h's geometry as kernels take it.
#ifndef GRADWIRE_OPS_SLIDING_CUH_
#define GRADWIRE_OPS_SLIDING_CUH_

#include <cstdint>

#include "ops/real_math.h"
#include "ops/window.h"

namespace gradwire::cuda {

struct Point {
  int64_t at[3];
};

struct Sliding {
  int64_t in[3], kernel[3], stride[3], dilation[3], begin[3], out[3];

  Sliding() = default;
  explicit Sliding(const Geometry& g) {
    for (size_t d = 0; d < 3; ++d) {
      in[d] = g.in[d];
      kernel[d] = g.kernel[d];
      stride[d] = g.stride[d];
      dilation[d] = g.dilation[d];
      begin[d] = g.begin[d];
      out[d] = g.out[d];
    }
  }

  GRADWIRE_FN int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  GRADWIRE_FN int64_t in_size() const { return in[0] * in[1] * in[2]; }
  GRADWIRE_FN int64_t out_size() const { return out[0] * out[1] * out[2]; }
  GRADWIRE_STATIC_FN Point Split(int64_t index, const int64_t* extents) {
    return {
        {index / (extents[1] * extents[2]), index / extents[2] % extents[1], index % extents[2]}};
  }
  // Where the input under a tap of an output is; -1 in the padding.
  GRADWIRE_FN int64_t InputUnder(const Point& output, const Point& tap) const {
    int64_t index = 0;
    for (int d = 0; d < 3; ++d) {
      const int64_t at = output.at[d] * stride[d] + tap.at[d] * dilation[d] - begin[d];
      if (at < 0 || at >= in[d]) return -1;
      index = index * in[d] + at;
    }
    return index;
  }
  // Where the output is whose tap is over an input; -1 where there is none.
  GRADWIRE_FN int64_t OutputOver(const Point& input, const Point& tap) const {
    int64_t index = 0;
    for (int d = 0; d < 3; ++d) {
      const int64_t distance = input.at[d] + begin[d] - tap.at[d] * dilation[d];
      if (distance < 0 || distance % stride[d] != 0 || distance / stride[d] >= out[d]) return -1;
      index = index * out[d] + distance / stride[d];
    }
    return index;
  }
  // f(place of the input, tap) for each tap of an output that is not in the padding.
  template <class F>
  GRADWIRE_FN void ForInputsUnder(const Point& output, const F& f) const {
    for (int64_t tap = 0; tap < taps(); ++tap) {
      const int64_t at = InputUnder(output, Split(tap, kernel));
      if (at >= 0) f(at, tap);
    }
  }
  // f(place of the output, tap) for each tap that is over an input.
  template <class F>
  GRADWIRE_FN void ForOutputsOver(const Point& input, const F& f) const {
    for (int64_t tap = 0; tap < taps(); ++tap) {
      const int64_t at = OutputOver(input, Split(tap, kernel));
      if (at >= 0) f(at, tap);
    }
  }
};

}  // namespace gradwire::cuda

#endif  // GRADWIRE_OPS_SLIDING_CUH_
