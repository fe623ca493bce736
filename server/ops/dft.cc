// DFT and STFT, by gradwire::Fft.
#include <fmt/format.h>

#include "graph/formula.h"

namespace gradwire {
namespace {

struct Direction {
  bool inverse = false;
  bool onesided = false;
};

// The same along the last axis but one of [..., n, 1 or 2], and back.
std::vector<int64_t> SwapWithLine(int rank, int axis) {
  std::vector<int64_t> perm = ToVector(AllAxes(rank));
  std::swap(perm[size_t(axis)], perm[size_t(rank - 2)]);
  return perm;
}

// `x` cut or filled up with zeros to `length` along an axis.
Value Fit(const Value& x, int axis, int64_t length) {
  const auto rank = static_cast<size_t>(x.rank());
  if (x.dims()[size_t(axis)] == length) return x;
  std::vector<int64_t> pads(2 * rank, 0);
  pads[rank + size_t(axis)] = length - x.dims()[size_t(axis)];
  return Call("gradwire::Pad", {x}, {{"pads", std::move(pads)}});
}

Value Fft(const Value& x, bool inverse) {
  return Call("gradwire::Fft", {x}, {{"inverse", int64_t{inverse}}});
}

// Frequencies beyond the middle of `length`, which are the conjugates of those before it.
Value Complete(const Value& half, int64_t length) {
  std::vector<int64_t> sources;
  std::vector<double> signs;
  for (int64_t k = 0; k < length; ++k) {
    const bool mirrored = k > length / 2;
    sources.push_back(mirrored ? length - k : k);
    signs.push_back(1);
    signs.push_back(mirrored ? -1 : 1);
  }
  const Value all =
      Call("Gather", {half, IntVector(sources)}, {{"axis", int64_t{half.rank() - 2}}});
  return all * Array({length, 2}, signs, half.dtype());
}

// Transforms the last axis but one.
Value TransformLines(const Value& x, int64_t length, const Direction& direction) {
  const int line = x.rank() - 2;
  const Value pairs = Fit(x, x.rank() - 1, 2);
  const auto count = static_cast<double>(length);
  if (direction.inverse && direction.onesided) {
    const Value all = Complete(Fit(pairs, line, length / 2 + 1), length);
    return Fit(Fft(all, true), x.rank() - 1, 1) / count;
  }
  const Value y = Fft(Fit(pairs, line, length), direction.inverse);
  if (direction.inverse) return y / count;
  return direction.onesided ? Fit(y, line, length / 2 + 1) : y;
}

Value Dft(const Value& x, int axis, int64_t length, const Direction& direction) {
  if (axis == x.rank() - 2) return TransformLines(x, length, direction);
  const std::vector<int64_t> perm = SwapWithLine(x.rank(), axis);
  return Transpose(TransformLines(Transpose(x, perm), length, direction), perm);
}

void CheckSignal(const TensorSpec& x) {
  if (x.rank() >= 2 && (x.dims.back() == 1 || x.dims.back() == 2)) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("the signal is {}, [..., n, 1] or, complex, [..., n, 2] is expected",
                          ToString(x)));
}

int64_t PositiveInt(const OpCall& call, size_t i, const char* what) {
  const auto value = static_cast<int64_t>(call.Scalar(i));
  if (value > 0) return value;
  throw Error(reason::kInvalidArgument, fmt::format("{} {} is not positive", what, value));
}

Value DecomposeAlong(const OpCall& call, int64_t axis_given) {
  CheckSignal(call.spec(0));
  const int axis = NormalizeAxis(axis_given, call.rank(0));
  if (axis == call.rank(0) - 1) {
    throw Error(reason::kInvalidArgument, "the last axis holds real and imaginary parts");
  }
  const Direction direction{call.attributes().Int("inverse", 0) != 0,
                            call.attributes().Int("onesided", 0) != 0};
  const int64_t extent = call.dims(0)[size_t(axis)];
  int64_t length = direction.inverse && direction.onesided ? 2 * (extent - 1) : extent;
  if (call.has(1)) length = PositiveInt(call, 1, "dft_length");
  if (length < 1) {
    throw Error(reason::kShapeMismatch, fmt::format("nothing of {} is left to transform along {}",
                                                    ToString(call.spec(0)), axis));
  }
  return Dft(call.input(0), axis, length, direction);
}

Values DecomposeDft17(const OpCall& call) {
  return {DecomposeAlong(call, call.attributes().Int("axis", 1))};
}

Values DecomposeDft20(const OpCall& call) {
  return {DecomposeAlong(call, call.has(2) ? static_cast<int64_t>(call.Scalar(2)) : -2)};
}

GRADWIRE_OP({.name = "DFT",
             .since = 17,
             .inputs = {1, 2},
             .attributes = {"axis", "inverse", "onesided"},
             .decompose = DecomposeDft17});
GRADWIRE_OP({.name = "DFT",
             .since = 20,
             .inputs = {1, 3},
             .attributes = {"inverse", "onesided"},
             .decompose = DecomposeDft20});

// Inputs signal [N, n, 1 or 2], frame_step, window, frame_length.
Values DecomposeStft(const OpCall& call) {
  CheckSignal(call.spec(0));
  const int64_t step = PositiveInt(call, 1, "frame_step");
  const int64_t extent = call.dims(0)[size_t(call.rank(0) - 2)];
  int64_t length = call.has(2) ? call.spec(2).numel() : extent;
  if (call.has(3)) length = PositiveInt(call, 3, "frame_length");
  const bool fits = call.rank(0) == 3 && length <= extent && length > 0 &&
                    (!call.has(2) || call.dims(2) == Dims{length});
  if (!fits) {
    throw Error(
        reason::kShapeMismatch,
        fmt::format("the signal is {}, the window {}, frames have {}", ToString(call.spec(0)),
                    call.has(2) ? ToString(call.spec(2)) : "absent", length));
  }
  std::vector<double> places;
  const int64_t frames = 1 + (extent - length) / step;
  for (int64_t frame = 0; frame < frames; ++frame) {
    for (int64_t i = 0; i < length; ++i) places.push_back(static_cast<double>(frame * step + i));
  }
  Value x = Call("Gather", {call.input(0), Array({frames, length}, places, DType::kInt64)},
                 {{"axis", int64_t{1}}});
  if (call.has(2)) x = x * Reshape(call.input(2), {length, 1});
  return {TransformLines(x, length, {.onesided = call.attributes().Int("onesided", 1) != 0})};
}

GRADWIRE_OP({.name = "STFT",
             .since = 17,
             .inputs = {2, 4},
             .attributes = {"onesided"},
             .decompose = DecomposeStft});

}  // namespace
}  // namespace gradwire
