#include "ops/window.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace gradwire {
namespace {

// Larger strides, dilations and pads than any array has elements would only overflow.
constexpr int64_t kLimit = int64_t{1} << 31;
constexpr int64_t kMaxTaps = 1 << 24;

Dims Numbers(const Attributes& attributes, std::string_view name, size_t count, int64_t fallback,
             int64_t low) {
  const std::vector<int64_t> given = attributes.Ints(name, std::vector<int64_t>(count, fallback));
  if (given.size() != count) {
    throw Error(reason::kInvalidArgument,
                fmt::format("{} has {} numbers, expected {}", name, given.size(), count));
  }
  for (const int64_t number : given) {
    if (number >= low && number < kLimit) continue;
    throw Error(reason::kInvalidArgument, fmt::format("{} {} is out of range", name, number));
  }
  return {given.begin(), given.end()};
}

// Strides and dilations; the pads still as given.
Window Read(const Attributes& attributes, const Dims& kernel, int64_t lowest_pad) {
  const size_t rank = kernel.size();
  if (rank < 1 || rank > 3) {
    throw Error(reason::kOpUnsupported,
                fmt::format("{} spatial axes are not supported; 1 to 3 are", rank));
  }
  int64_t taps = 1;
  for (const int64_t extent : kernel) {
    if (extent < 1 || extent > kMaxTaps / taps) {
      throw Error(reason::kInvalidArgument,
                  fmt::format("kernel {} is out of range", ToString(kernel)));
    }
    taps *= extent;
  }
  const Dims pads = Numbers(attributes, "pads", 2 * rank, 0, lowest_pad);
  const auto middle = pads.begin() + static_cast<ptrdiff_t>(rank);
  return {kernel, Numbers(attributes, "strides", rank, 1, 1),
          Numbers(attributes, "dilations", rank, 1, 1), Dims(pads.begin(), middle),
          Dims(middle, pads.end())};
}

[[noreturn]] void RefuseSize(const Window& window, const Dims& input, size_t axis) {
  throw Error(
      reason::kShapeMismatch,
      fmt::format("spatial axis {}: an input of {} with pads {} and {} is smaller than the "
                  "kernel's span of {}",
                  axis, input[axis], window.begin[axis], window.end[axis], window.Span(axis)));
}

}  // namespace

Dims Window::OutputOf(std::span<const int64_t> input) const {
  Dims output(kernel.size());
  for (size_t i = 0; i < output.size(); ++i) {
    output[i] = (input[i] + begin[i] + end[i] - Span(i)) / strides[i] + 1;
  }
  return output;
}

Dims Window::InputOf(std::span<const int64_t> output) const {
  Dims input(kernel.size());
  for (size_t i = 0; i < input.size(); ++i) {
    input[i] = strides[i] * (output[i] - 1) + Span(i) - begin[i] - end[i];
  }
  return input;
}

Attributes Window::ToAttributes() const {
  std::vector<int64_t> pads = ToVector(begin);
  pads.insert(pads.end(), end.begin(), end.end());
  return {{"strides", ToVector(strides)}, {"dilations", ToVector(dilations)}, {"pads", pads}};
}

Dims SpatialDims(const Dims& dims) {
  return dims.size() < 2 ? Dims() : Dims(dims.begin() + 2, dims.end());
}

Dims WithChannels(int64_t batch, int64_t channels, const Dims& spatial) {
  Dims dims = {batch, channels};
  dims.insert(dims.end(), spatial.begin(), spatial.end());
  return dims;
}

Dims KernelShape(const OpCall& call) {
  const std::vector<int64_t>& kernel = call.attributes().Ints("kernel_shape");
  if (call.rank(0) != static_cast<int>(kernel.size()) + 2) {
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, kernel_shape is {}: rank {} is expected",
                            ToString(call.spec(0)), ToString(kernel), kernel.size() + 2));
  }
  return {kernel.begin(), kernel.end()};
}

Window OnnxWindow(const Attributes& attributes, const Dims& kernel, const Dims& input, bool ceil) {
  const std::string auto_pad = attributes.String("auto_pad", "NOTSET");
  const bool same = auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER";
  if (!same && auto_pad != "VALID" && auto_pad != "NOTSET" && !auto_pad.empty()) {
    throw Error(reason::kInvalidArgument, fmt::format("auto_pad '{}' is not known", auto_pad));
  }
  Window window = Read(attributes, kernel, 0);
  if (same || auto_pad == "VALID") {
    window.begin.assign(kernel.size(), 0);
    window.end.assign(kernel.size(), 0);
    ceil = false;
  }
  for (size_t i = 0; i < kernel.size(); ++i) {
    const int64_t stride = window.strides[i];
    if (same) {
      const int64_t windows = (input[i] + stride - 1) / stride;
      const int64_t pad = std::max<int64_t>(0, (windows - 1) * stride + window.Span(i) - input[i]);
      window.begin[i] = auto_pad == "SAME_UPPER" ? pad / 2 : pad - pad / 2;
      window.end[i] = pad - window.begin[i];
    }
    const int64_t room = input[i] + window.begin[i] + window.end[i] - window.Span(i);
    if (room < 0) RefuseSize(window, input, i);
    const int64_t rest = room % stride;
    // A window more, if it starts inside the input or the padding before it.
    const bool more =
        ceil && rest != 0 && (room / stride + 1) * stride < input[i] + window.begin[i];
    window.end[i] += more ? stride - rest : -rest;
  }
  return window;
}

Window CanonicalWindow(const Attributes& attributes, const Dims& kernel) {
  return Read(attributes, kernel, -kLimit);
}

void CheckFit(const Window& window, const Dims& input) {
  for (size_t i = 0; i < input.size(); ++i) {
    const int64_t room = input[i] + window.begin[i] + window.end[i] - window.Span(i);
    if (room < 0) RefuseSize(window, input, i);
    if (room % window.strides[i] != 0) {
      throw Error(reason::kShapeMismatch,
                  fmt::format("spatial axis {}: the last window ends {} before the padded input", i,
                              room % window.strides[i]));
    }
  }
}

Geometry::Geometry(const Window& window, const Dims& input, const Dims& output) {
  for (Triple* all : {&in, &kernel, &stride, &dilation, &out}) all->fill(1);
  begin.fill(0);
  const size_t skip = 3 - window.kernel.size();
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    in[skip + i] = input[i];
    kernel[skip + i] = window.kernel[i];
    stride[skip + i] = window.strides[i];
    dilation[skip + i] = window.dilations[i];
    begin[skip + i] = window.begin[i];
    out[skip + i] = output[i];
  }
}

std::pair<int64_t, int64_t> Geometry::Inside(size_t axis, int64_t tap) const {
  const int64_t offset = Offset(axis, tap);
  const int64_t step = stride[axis];
  const int64_t first = offset >= 0 ? 0 : (-offset + step - 1) / step;
  const int64_t reach = in[axis] - offset;  // outputs o with o * step < reach
  const int64_t last = reach <= 0 ? 0 : (reach + step - 1) / step;
  return {std::min(first, out[axis]), std::min(last, out[axis])};
}

}  // namespace gradwire
