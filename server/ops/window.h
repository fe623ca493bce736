// Sliding windows: what convolutions and poolings share.
//
// ONNX's ways to say how a window moves (auto_pad, ceil_mode, what is left over) come down to one:
// the padding for which the last window ends where the padded input ends, so that along each axis
//   input + begin + end = stride * (output - 1) + dilation * (kernel - 1) + 1
// and any extent follows from the other two. `end` is negative where windows leave a rest unread.
#ifndef GRADWIRE_OPS_WINDOW_H_
#define GRADWIRE_OPS_WINDOW_H_

#include <array>
#include <span>
#include <utility>

#include "core/attributes.h"
#include "graph/op_call.h"

namespace gradwire {

// One number for each spatial axis; a window over up to three.
struct Window {
  Dims kernel, strides, dilations, begin, end;

  int rank() const { return static_cast<int>(kernel.size()); }
  // Extent of the dilated kernel.
  int64_t Span(size_t axis) const { return dilations[axis] * (kernel[axis] - 1) + 1; }
  Dims OutputOf(std::span<const int64_t> input) const;
  Dims InputOf(std::span<const int64_t> output) const;
  // As attributes "strides", "dilations", "pads" of the canonical rows.
  Attributes ToAttributes() const;
};

// Axes 2.. of an array [N, C, ...].
Dims SpatialDims(const Dims& dims);
// [N, C, ...] of a batch, channels and spatial extents.
Dims WithChannels(int64_t batch, int64_t channels, const Dims& spatial);

// Attribute kernel_shape of a pooling over input 0; throws SHAPE_MISMATCH when ranks differ.
Dims KernelShape(const OpCall& call);
// The window of an ONNX call with kernel_shape (`kernel`), strides, dilations, pads and auto_pad
// over `input`; with `ceil`, a window that starts inside the padded input counts. Throws
// INVALID_ARGUMENT and SHAPE_MISMATCH.
Window OnnxWindow(const Attributes& attributes, const Dims& kernel, const Dims& input,
                  bool ceil = false);
// The window of a canonical row. Throws INVALID_ARGUMENT unless there is one of each number for
// each axis of the kernel, within reason.
Window CanonicalWindow(const Attributes& attributes, const Dims& kernel);
// Checks the equation above; throws SHAPE_MISMATCH.
void CheckFit(const Window& window, const Dims& input);

// A window with its extents, filled up to three axes, for loops.
struct Geometry {
  Geometry(const Window& window, const Dims& input, const Dims& output);

  using Triple = std::array<int64_t, 3>;
  Triple in, kernel, stride, dilation, begin, out;

  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t in_size() const { return in[0] * in[1] * in[2]; }
  int64_t out_size() const { return out[0] * out[1] * out[2]; }
  // Input position under tap `tap` of output 0; may be negative.
  int64_t Offset(size_t axis, int64_t tap) const { return tap * dilation[axis] - begin[axis]; }
  // Outputs [first, second) for which that tap lies in the input.
  std::pair<int64_t, int64_t> Inside(size_t axis, int64_t tap) const;
};

// Calls f(tap, out_at, in_at, count) for each line of outputs along the last axis that a tap of the
// kernel serves: count outputs from out_at on, whose inputs start at in_at and are stride[2] apart.
// Taps come in row-major order.
template <class F>
void ForEachTapLine(const Geometry& g, F&& f) {
  int64_t tap = 0;
  for (int64_t k0 = 0; k0 < g.kernel[0]; ++k0) {
    for (int64_t k1 = 0; k1 < g.kernel[1]; ++k1) {
      for (int64_t k2 = 0; k2 < g.kernel[2]; ++k2, ++tap) {
        const auto [begin0, end0] = g.Inside(0, k0);
        const auto [begin1, end1] = g.Inside(1, k1);
        const auto [begin2, end2] = g.Inside(2, k2);
        if (begin2 >= end2) continue;
        const int64_t column = begin2 * g.stride[2] + g.Offset(2, k2);
        for (int64_t o0 = begin0; o0 < end0; ++o0) {
          const int64_t plane = (o0 * g.stride[0] + g.Offset(0, k0)) * g.in[1];
          for (int64_t o1 = begin1; o1 < end1; ++o1) {
            const int64_t row = plane + o1 * g.stride[1] + g.Offset(1, k1);
            f(tap, (o0 * g.out[1] + o1) * g.out[2] + begin2, row * g.in[2] + column, end2 - begin2);
          }
        }
      }
    }
  }
}

}  // namespace gradwire

#endif  // GRADWIRE_OPS_WINDOW_H_
