// Max pooling. gradwire::MaxPool also says where each maximum was; its gradient puts dy there
// (MaxPoolGrad), whose adjoint reads from there (MaxPoolTake). Positions are flat row-major indices
// into the whole input, each within its own image and channel; -1 is nowhere. Own loops for every
// type: oneDNN's maximum loses NaN, and -inf becomes the lowest number.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "graph/channels_last.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/window.h"

namespace gradwire {
namespace {

constexpr DTypeSet kPoolTypes = kFloats | (DType::kInt8 | DType::kUint8);
using PoolTypes = TypeList<float, double, int8_t, uint8_t>;
constexpr int64_t kGrain = 1 << 14;

Specs InferMaxPool(const OpCall& call) {
  const Window window = CanonicalWindow(call.attributes(), KernelShape(call));
  const Dims input = SpatialDims(call.dims(0));
  CheckFit(window, input);
  const Dims dims = WithChannels(call.dims(0)[0], call.dims(0)[1], window.OutputOf(input));
  Specs specs = {{call.dtype(0), dims}};
  const bool located = call.num_outputs() > 1 || call.input(0).requires_grad();
  if (located) specs.push_back({DType::kInt64, dims});
  return specs;
}

template <class T>
bool IsAbove(T x, T best) {
  if constexpr (std::is_floating_point_v<T>) {
    return (x > best) | (x != x);  // NaN is above all, as in PyTorch
  }
  return x > best;
}

template <class T>
constexpr T Lowest() {
  if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
  return std::numeric_limits<T>::lowest();
}

// Tap numbers, as wide as the elements they belong to, so that both fit the same vectors.
template <class T>
using TapOf = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;

template <class T>
void PoolPlane(const Geometry& g, const T* x, T* y) {
  std::fill_n(y, g.out_size(), Lowest<T>());
  const int64_t step = g.stride[2];
  ForEachTapLine(g, [&](int64_t, int64_t out_at, int64_t in_at, int64_t count) {
    const T* __restrict from = x + in_at;
    T* __restrict to = y + out_at;
    for (int64_t i = 0; i < count; ++i)
      to[i] = IsAbove(from[i * step], to[i]) ? from[i * step] : to[i];
  });
}

template <class T>
void PoolPlaneWithTaps(const Geometry& g, const T* x, T* y, TapOf<T>* taps) {
  std::fill_n(y, g.out_size(), Lowest<T>());
  std::fill_n(taps, g.out_size(), TapOf<T>{-1});
  const int64_t step = g.stride[2];
  ForEachTapLine(g, [&](int64_t tap, int64_t out_at, int64_t in_at, int64_t count) {
    const T* __restrict from = x + in_at;
    T* __restrict to = y + out_at;
    TapOf<T>* __restrict at = taps + out_at;
    const auto this_tap = static_cast<TapOf<T>>(tap);
    for (int64_t i = 0; i < count; ++i) {
      const bool above = IsAbove(from[i * step], to[i]) | (at[i] < 0);
      to[i] = above ? from[i * step] : to[i];
      at[i] = above ? this_tap : at[i];
    }
  });
}

// Tap numbers to flat positions.
class Locator {
 public:
  explicit Locator(const Geometry& geometry) : g_(geometry) {
    offsets_.reserve(static_cast<size_t>(g_.taps()));
    for (int64_t k0 = 0; k0 < g_.kernel[0]; ++k0) {
      for (int64_t k1 = 0; k1 < g_.kernel[1]; ++k1) {
        for (int64_t k2 = 0; k2 < g_.kernel[2]; ++k2) {
          offsets_.push_back((g_.Offset(0, k0) * g_.in[1] + g_.Offset(1, k1)) * g_.in[2] +
                             g_.Offset(2, k2));
        }
      }
    }
  }

  // Of one plane, whose first element is at `base`.
  template <class Tap>
  void Locate(const Tap* taps, int64_t base, int64_t* positions) const {
    int64_t i = 0;
    for (int64_t o0 = 0; o0 < g_.out[0]; ++o0) {
      for (int64_t o1 = 0; o1 < g_.out[1]; ++o1) {
        const int64_t row = base + (o0 * g_.stride[0] * g_.in[1] + o1 * g_.stride[1]) * g_.in[2];
        for (int64_t o2 = 0; o2 < g_.out[2]; ++o2, ++i) {
          const auto tap = static_cast<int64_t>(taps[i]);
          positions[i] =
              tap < 0 ? -1 : row + o2 * g_.stride[2] + offsets_[static_cast<size_t>(tap)];
        }
      }
    }
  }

 private:
  const Geometry& g_;
  std::vector<int64_t> offsets_;  // of each tap from the position under tap 0, begin 0
};

template <class T>
void MaxPool(KernelContext& context, const Geometry& g, int64_t planes) {
  const T* x = context.in<T>(0);
  T* y = context.out<T>(0);
  const int64_t grain = 1 + kGrain / std::max<int64_t>(1, g.out_size() * g.taps());
  if (context.num_outputs() == 1) {
    ParallelFor(planes, grain, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        PoolPlane(g, x + p * g.in_size(), y + p * g.out_size());
      }
    });
    return;
  }
  int64_t* positions = context.out<int64_t>(1);
  const Locator locator(g);
  const int64_t threads = std::clamp<int64_t>(planes / grain, 1, Threads());
  const int64_t size = g.out_size();
  const BufferPtr scratch = context.Scratch(static_cast<size_t>(threads * size) * sizeof(TapOf<T>));
  ParallelFor(threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread) {
      TapOf<T>* taps = static_cast<TapOf<T>*>(scratch->data()) + thread * size;
      for (int64_t p = planes * thread / threads; p < planes * (thread + 1) / threads; ++p) {
        PoolPlaneWithTaps(g, x + p * g.in_size(), y + p * size, taps);
        locator.Locate(taps, p * g.in_size(), positions + p * size);
      }
    }
  });
}

// The pixel that output o, a position in the plane of outputs, has under each tap: f(its position
// in the plane of inputs).
template <class F>
void ForEachPixelUnder(const Geometry& g, int64_t o, F f) {
  const Geometry::Triple at = {o / (g.out[1] * g.out[2]), o / g.out[2] % g.out[1], o % g.out[2]};
  Geometry::Triple first, last;
  for (size_t d = 0; d < 3; ++d) {
    const int64_t start = at[d] * g.stride[d] - g.begin[d];
    const int64_t gap = g.dilation[d];
    first[d] = start < 0 ? start + (-start + gap - 1) / gap * gap : start;
    last[d] = std::min(start + (g.kernel[d] - 1) * gap + 1, g.in[d]);
  }
  for (int64_t i0 = first[0]; i0 < last[0]; i0 += g.dilation[0]) {
    for (int64_t i1 = first[1]; i1 < last[1]; i1 += g.dilation[1]) {
      for (int64_t i2 = first[2]; i2 < last[2]; i2 += g.dilation[2]) {
        f((i0 * g.in[1] + i1) * g.in[2] + i2);
      }
    }
  }
}

template <class T>
void MaxPoolChannelsLast(KernelContext& context, const Geometry& g, int64_t channels) {
  const T* x = context.in<T>(0);
  T* y = context.out<T>(0);
  const int64_t outputs = context.output(0).numel() / std::max<int64_t>(1, channels);
  const int64_t grain = 1 + kGrain / std::max<int64_t>(1, channels * g.taps());
  ParallelFor(outputs, grain, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      T* __restrict to = y + o * channels;
      const T* image = x + o / g.out_size() * g.in_size() * channels;
      std::fill_n(to, channels, Lowest<T>());
      ForEachPixelUnder(g, o % g.out_size(), [&](int64_t pixel) {
        const T* __restrict from = image + pixel * channels;
        for (int64_t c = 0; c < channels; ++c) to[c] = IsAbove(from[c], to[c]) ? from[c] : to[c];
      });
    }
  });
}

template <bool kChannelsLast>
void MaxPoolCpu(KernelContext& context) {
  Dims in = context.input(0).dims();
  Dims out = context.output(0).dims();
  if (kChannelsLast) {
    in = WithChannelsFirst(in);
    out = WithChannelsFirst(out);
  }
  const std::vector<int64_t>& kernel = context.attributes().Ints("kernel_shape");
  const Window window = CanonicalWindow(context.attributes(), Dims(kernel.begin(), kernel.end()));
  const Geometry geometry(window, SpatialDims(in), SpatialDims(out));
  Dispatch(PoolTypes{}, context.input(0).dtype(), [&]<class T>() {
    if (kChannelsLast) {
      MaxPoolChannelsLast<T>(context, geometry, in[1]);
    } else {
      MaxPool<T>(context, geometry, in[0] * in[1]);
    }
  });
}

// Positions are those of the usual order.
bool HasNoPositions(std::span<const TensorSpec>, std::span<const TensorSpec> outputs,
                    const Attributes&) {
  return outputs.size() == 1;
}
constexpr ChannelsLast kMaxPool = {.cpu = MaxPoolCpu<true>, .suits = HasNoPositions};

Values MaxPoolVjp(const VjpCall& call) {
  return {Call("gradwire::MaxPoolGrad", {call.dy(), call.output(1)},
               {{"shape", ToVector(call.input_spec(0).dims)}})};
}

// The planes of x and of y, and how large they are: for the two adjoints.
struct Planes {
  Planes(const Dims& x, const Dims& y)
      : count(x[0] * x[1]),
        x_size(NumElements(SpatialDims(x))),
        y_size(NumElements(SpatialDims(y))) {}
  int64_t grain() const { return 1 + kGrain / std::max<int64_t>(1, x_size + y_size); }
  int64_t count, x_size, y_size;
};

void RequirePositions(const OpCall& call, const Dims& y, const Dims& x) {
  const bool fits = y.size() >= 2 && x.size() >= 2 && x[0] == y[0] && x[1] == y[1];
  if (fits && call.dims(1) == y && call.dtype(1) == DType::kInt64) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("X is {}, Y is {}, positions are {}: int64 positions for each element of "
                          "Y, and equal batches and channels are expected",
                          ToString(x), ToString(y), ToString(call.spec(1))));
}

Specs InferGrad(const OpCall& call) {
  const std::vector<int64_t>& shape = call.attributes().Ints("shape");
  TensorSpec spec{call.dtype(0), Dims(shape.begin(), shape.end())};
  RequirePositions(call, call.dims(0), spec.dims);
  return {std::move(spec)};
}

template <class T>
void MaxPoolGrad(KernelContext& context) {
  const Planes planes(context.output(0).dims(), context.input(0).dims());
  const T* dy = context.in<T>(0);
  const int64_t* positions = context.in<int64_t>(1);
  T* dx = context.out<T>(0);
  ParallelFor(planes.count, planes.grain(), [&](int64_t begin, int64_t end) {
    std::fill(dx + begin * planes.x_size, dx + end * planes.x_size, T{});
    for (int64_t p = begin; p < end; ++p) {
      T* plane = dx + p * planes.x_size;
      for (int64_t i = p * planes.y_size; i < (p + 1) * planes.y_size; ++i) {
        const int64_t at = positions[i] - p * planes.x_size;
        if (at >= 0 && at < planes.x_size) plane[at] += dy[i];
      }
    }
  });
}

void MaxPoolGradCpu(KernelContext& context) {
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() { MaxPoolGrad<T>(context); });
}

Values MaxPoolGradVjp(const VjpCall& call) {
  return {Call("gradwire::MaxPoolTake", {call.dy(), call.input(1)}), {}};
}

Specs InferTake(const OpCall& call) {
  RequirePositions(call, call.dims(1), call.dims(0));
  return {{call.dtype(0), call.dims(1)}};
}

template <class T>
void MaxPoolTake(KernelContext& context) {
  const Planes planes(context.input(0).dims(), context.output(0).dims());
  const T* x = context.in<T>(0);
  const int64_t* positions = context.in<int64_t>(1);
  T* y = context.out<T>(0);
  ParallelFor(planes.count, planes.grain(), [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* plane = x + p * planes.x_size;
      for (int64_t i = p * planes.y_size; i < (p + 1) * planes.y_size; ++i) {
        const int64_t at = positions[i] - p * planes.x_size;
        y[i] = at >= 0 && at < planes.x_size ? plane[at] : T{};
      }
    }
  });
}

void MaxPoolTakeCpu(KernelContext& context) {
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() { MaxPoolTake<T>(context); });
}

Values MaxPoolTakeVjp(const VjpCall& call) {
  return {Call("gradwire::MaxPoolGrad", {call.dy(), call.input(1)},
               {{"shape", ToVector(call.input_spec(0).dims)}}),
          {}};
}

// Row-major positions as ONNX's storage_order 1 counts them: column-major within each plane.
Value ColumnMajor(const Value& positions, const Dims& spatial) {
  const Value plane_size = Scalar(static_cast<double>(NumElements(spatial)), DType::kInt64);
  const Value plane = positions / plane_size;
  Value rest = positions - plane * plane_size;
  Value result = plane * plane_size;
  int64_t stride = NumElements(spatial);
  for (size_t d = spatial.size(); d-- > 0;) {
    stride /= spatial[d];
    const Value extent = Scalar(static_cast<double>(spatial[d]), DType::kInt64);
    const Value next = rest / extent;
    result = result + (rest - next * extent) * static_cast<double>(stride);
    rest = next;
  }
  return result;
}

Values DecomposeMaxPool(const OpCall& call) {
  const Dims input = SpatialDims(call.dims(0));
  const Window window = OnnxWindow(call.attributes(), KernelShape(call), input,
                                   call.attributes().Int("ceil_mode", 0) != 0);
  Attributes attributes = window.ToAttributes();
  attributes.Set("kernel_shape", ToVector(window.kernel));
  Values outputs =
      ApplyAll("gradwire::MaxPool", {call.input(0)}, std::move(attributes), call.num_outputs());
  outputs.resize(static_cast<size_t>(call.num_outputs()));
  const bool column_major = call.attributes().Int("storage_order", 0) != 0;
  if (call.num_outputs() > 1 && column_major && call.input(0).numel() != 0) {
    outputs[1] = ColumnMajor(outputs[1], input);
  }
  return outputs;
}

GRADWIRE_OP({.name = "MaxPool",
             .domain = "gradwire",
             .outputs = {1, 2},
             .types = kPoolTypes,
             .attributes = {"kernel_shape", "strides", "dilations", "pads"},
             .infer = InferMaxPool,
             .cpu = MaxPoolCpu<false>,
             .vjp = MaxPoolVjp,
             .saves = {.outputs = 0b10},
             .samples = [](const Attributes&, int) { return 1u; },
             .channels_last = &kMaxPool});
GRADWIRE_OP({.name = "MaxPoolGrad",
             .domain = "gradwire",
             .inputs = 2,  // dy, positions
             .attributes = {"shape"},
             .infer = InferGrad,
             .cpu = MaxPoolGradCpu,
             .vjp = MaxPoolGradVjp,
             .saves = {.inputs = 0b10}});
GRADWIRE_OP({.name = "MaxPoolTake",
             .domain = "gradwire",
             .inputs = 2,  // x, positions
             .infer = InferTake,
             .cpu = MaxPoolTakeCpu,
             .vjp = MaxPoolTakeVjp,
             .saves = {.inputs = 0b10}});

GRADWIRE_OP({.name = "MaxPool",
             .types = kPoolTypes,
             .attributes = {"auto_pad", "kernel_shape", "pads", "strides"},
             .decompose = DecomposeMaxPool});
GRADWIRE_OP({.name = "MaxPool",
             .since = 8,
             .outputs = {1, 2},
             .types = kPoolTypes,
             .attributes = {"auto_pad", "kernel_shape", "pads", "strides", "storage_order"},
             .decompose = DecomposeMaxPool});
GRADWIRE_OP({.name = "MaxPool",
             .since = 10,
             .outputs = {1, 2},
             .types = kPoolTypes,
             .attributes = {"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides",
                            "storage_order"},
             .decompose = DecomposeMaxPool});

}  // namespace
}  // namespace gradwire
