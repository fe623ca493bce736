// Average pooling, and what else is a linear map of a window: gradwire::AveragePool and its adjoint
// AveragePoolGrad share their attributes and are each other's derivative. "counted" says how much
// of the padding counts in the divisor: the padding before each axis, then after.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "backend/cpu/dnnl.h"
#include "core/parallel.h"
#include "graph/channels_last.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/window.h"

namespace gradwire {
namespace {

constexpr int64_t kGrain = 1 << 14;
const std::vector<std::string_view> kCanonical = {"kernel_shape", "strides", "dilations", "pads",
                                                  "counted"};

// The window and checked "counted" of a canonical call.
Window WindowOf(const OpCall& call) {
  const Dims kernel = KernelShape(call);
  const std::vector<int64_t> counted =
      call.attributes().Ints("counted", std::vector<int64_t>(2 * kernel.size(), 0));
  const bool sane = std::all_of(counted.begin(), counted.end(),
                                [](int64_t n) { return n >= 0 && n < (int64_t{1} << 31); });
  if (!sane || counted.size() != 2 * kernel.size()) {
    throw Error(reason::kInvalidArgument,
                fmt::format("counted is {}: {} numbers from 0 up are expected", ToString(counted),
                            2 * kernel.size()));
  }
  return CanonicalWindow(call.attributes(), kernel);
}

Specs InferAveragePool(const OpCall& call) {
  const Window window = WindowOf(call);
  const Dims input = SpatialDims(call.dims(0));
  CheckFit(window, input);
  return {{call.dtype(0), WithChannels(call.dims(0)[0], call.dims(0)[1], window.OutputOf(input))}};
}

Specs InferAveragePoolGrad(const OpCall& call) {
  const Dims input = WindowOf(call).InputOf(SpatialDims(call.dims(0)));
  return {{call.dtype(0), WithChannels(call.dims(0)[0], call.dims(0)[1], input)}};
}

// What both kernels know: the loops' extents and 1 / (elements that count) for each output.
template <class T>
struct Pool {
  Pool(const Attributes& attributes, const Dims& x, const Dims& y)
      : Pool(attributes, KernelOf(attributes), SpatialDims(x), SpatialDims(y)) {
    planes = x[0] * x[1];
  }

  Geometry geometry;
  int64_t planes = 0;
  std::vector<T> scale;

  int64_t grain() const {
    return 1 + kGrain / std::max<int64_t>(1, geometry.out_size() * geometry.taps());
  }

 private:
  Pool(const Attributes& attributes, const Dims& kernel, const Dims& in, const Dims& out)
      : geometry(CanonicalWindow(attributes, kernel), in, out) {
    const std::vector<int64_t> counted =
        attributes.Ints("counted", std::vector<int64_t>(2 * kernel.size(), 0));
    const size_t skip = 3 - kernel.size();
    std::vector<int64_t> counts[3];
    for (size_t d = 0; d < 3; ++d) {
      const int64_t before = d < skip ? 0 : counted[d - skip];
      const int64_t after = d < skip ? 0 : counted[d - skip + kernel.size()];
      for (int64_t o = 0; o < geometry.out[d]; ++o) {
        counts[d].push_back(Count(d, o, -before, geometry.in[d] + after));
      }
    }
    scale.reserve(static_cast<size_t>(geometry.out_size()));
    for (const int64_t c0 : counts[0]) {
      for (const int64_t c1 : counts[1]) {
        for (const int64_t c2 : counts[2]) {
          scale.push_back(T{1} / static_cast<T>(std::max<int64_t>(1, c0 * c1 * c2)));
        }
      }
    }
  }

  static Dims KernelOf(const Attributes& attributes) {
    const std::vector<int64_t>& kernel = attributes.Ints("kernel_shape");
    return {kernel.begin(), kernel.end()};
  }

  // Taps of output o that lie in [low, high).
  int64_t Count(size_t axis, int64_t o, int64_t low, int64_t high) const {
    int64_t count = 0;
    for (int64_t k = 0; k < geometry.kernel[axis]; ++k) {
      const int64_t at = o * geometry.stride[axis] + geometry.Offset(axis, k);
      count += at >= low && at < high ? 1 : 0;
    }
    return count;
  }
};

template <class T>
void AveragePool(KernelContext& context) {
  const Pool<T> pool(context.attributes(), context.input(0).dims(), context.output(0).dims());
  const Geometry& g = pool.geometry;
  const int64_t size = g.out_size();
  const int64_t step = g.stride[2];
  ParallelFor(pool.planes, pool.grain(), [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* x = context.in<T>(0) + p * g.in_size();
      T* y = context.out<T>(0) + p * size;
      std::fill_n(y, size, T{});
      ForEachTapLine(g, [&](int64_t, int64_t out_at, int64_t in_at, int64_t count) {
        const T* __restrict from = x + in_at;
        T* __restrict to = y + out_at;
        for (int64_t i = 0; i < count; ++i) to[i] += from[i * step];
      });
      for (int64_t i = 0; i < size; ++i) y[i] *= pool.scale[static_cast<size_t>(i)];
    }
  });
}

template <class T>
void AveragePoolGrad(KernelContext& context) {
  const Pool<T> pool(context.attributes(), context.output(0).dims(), context.input(0).dims());
  const Geometry& g = pool.geometry;
  const int64_t step = g.stride[2];
  ParallelFor(pool.planes, pool.grain(), [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* dy = context.in<T>(0) + p * g.out_size();
      T* dx = context.out<T>(0) + p * g.in_size();
      std::fill_n(dx, g.in_size(), T{});
      ForEachTapLine(g, [&](int64_t, int64_t out_at, int64_t in_at, int64_t count) {
        const T* __restrict from = dy + out_at;
        const T* __restrict scale = pool.scale.data() + out_at;
        T* __restrict to = dx + in_at;
        for (int64_t i = 0; i < count; ++i) to[i * step] += from[i] * scale[i];
      });
    }
  });
}

// A pooling over two spatial axes in oneDNN's terms, which has two divisors: the taps within the
// input, or all of them. Over one or three axes the loops above are faster.
class DnnlPool {
 public:
  // `x` and `y` are [N, C, ...], whichever way the images lie.
  DnnlPool(const Attributes& attributes, const Dims& x, const Dims& y, bool channels_last)
      : x_(x), y_(y), channels_last_(channels_last) {
    const std::vector<int64_t>& kernel = attributes.Ints("kernel_shape");
    const size_t rank = kernel.size();
    const std::vector<int64_t> none(2 * rank, 0);
    const std::vector<int64_t> counted = attributes.Ints("counted", none);
    const Window window = CanonicalWindow(attributes, Dims(kernel.begin(), kernel.end()));
    bool counts_all = true;
    suits_ = rank == 2 && NumElements(x) >= kLeast && NumElements(y) != 0;
    for (size_t i = 0; i < rank; ++i) {
      const int64_t begin = window.begin[i];
      const int64_t end = window.end[i];
      suits_ = suits_ && window.dilations[i] == 1 && begin >= 0 && end > -window.strides[i] &&
               begin < kernel[i] && end < kernel[i];
      counts_all = counts_all && counted[i] >= begin && counted[i + rank] >= end;
    }
    suits_ = suits_ && (counts_all || counted == none);
    algorithm_ = counts_all ? onednn::Algorithm::pooling_avg_include_padding
                            : onednn::Algorithm::pooling_avg_exclude_padding;
    for (const Dims& one : {window.strides, window.kernel, window.begin, window.end}) {
      numbers_.push_back(onednn::ToDims(one));
    }
  }

  // Smaller arrays are done before oneDNN has found its primitive.
  static constexpr int64_t kLeast = 4096;
  bool suits() const { return suits_; }

  void Forward(KernelContext& context) const {
    onednn::Run(context.stream(), Key(onednn::Prop::forward_inference),
                {onednn::In(DNNL_ARG_SRC, Image(x_), context.in<float>(0)),
                 onednn::Out(DNNL_ARG_DST, Image(y_), context.out<float>(0))},
                [&] { return Describe(onednn::Prop::forward_inference); });
  }
  void Backward(KernelContext& context) const {
    onednn::Run(context.stream(), Key(onednn::Prop::backward_data),
                {onednn::In(DNNL_ARG_DIFF_DST, Image(y_), context.in<float>(0)),
                 onednn::Out(DNNL_ARG_DIFF_SRC, Image(x_), context.out<float>(0))},
                [&] {
                  return onednn::DescribeBackward<onednn::PoolingBackward>(
                      Describe(onednn::Prop::forward_training), algorithm_, Image(x_), Image(y_),
                      numbers_[0], numbers_[1], kNoGaps, numbers_[2], numbers_[3]);
                });
  }

 private:
  onednn::Key Key(onednn::Prop prop) const {
    onednn::Key key(onednn::Kind::pooling, prop);
    for (const auto& list : numbers_) key.Add(list);
    return std::move(key.Add(algorithm_).Add(x_).Add(y_).Add(channels_last_));
  }
  onednn::Desc Image(const Dims& dims) const {
    return channels_last_ ? onednn::ChannelsLast(dims) : onednn::Plain(dims);
  }
  onednn::PoolingForward::primitive_desc Describe(onednn::Prop prop) const {
    return onednn::Describe<onednn::PoolingForward>(prop, algorithm_, Image(x_), Image(y_),
                                                    numbers_[0], numbers_[1], kNoGaps, numbers_[2],
                                                    numbers_[3]);
  }

  static inline const dnnl::memory::dims kNoGaps = {0, 0};
  Dims x_, y_;
  bool channels_last_;
  bool suits_;
  onednn::Algorithm algorithm_;
  std::vector<dnnl::memory::dims> numbers_;  // strides, kernel, padding before, padding after
};

void AveragePoolCpu(KernelContext& context) {
  if (context.input(0).dtype() == DType::kFloat32) {
    const DnnlPool pool(context.attributes(), context.input(0).dims(), context.output(0).dims(),
                        false);
    if (pool.suits()) return pool.Forward(context);
  }
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() { AveragePool<T>(context); });
}

void AveragePoolGradCpu(KernelContext& context) {
  if (context.input(0).dtype() == DType::kFloat32) {
    const DnnlPool pool(context.attributes(), context.output(0).dims(), context.input(0).dims(),
                        false);
    if (pool.suits()) return pool.Backward(context);
  }
  Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() { AveragePoolGrad<T>(context); });
}

bool SuitsDnnl(std::span<const TensorSpec> inputs, std::span<const TensorSpec> outputs,
               const Attributes& attributes) {
  return inputs[0].dtype == DType::kFloat32 &&
         DnnlPool(attributes, inputs[0].dims, outputs[0].dims, true).suits();
}
constexpr ChannelsLast kAveragePool = {
    .cpu =
        [](KernelContext& context) {
          DnnlPool(context.attributes(), WithChannelsFirst(context.input(0).dims()),
                   WithChannelsFirst(context.output(0).dims()), true)
              .Forward(context);
        },
    .suits = SuitsDnnl};
constexpr ChannelsLast kAveragePoolGrad = {
    .cpu =
        [](KernelContext& context) {
          DnnlPool(context.attributes(), WithChannelsFirst(context.output(0).dims()),
                   WithChannelsFirst(context.input(0).dims()), true)
              .Backward(context);
        },
    .suits = [](std::span<const TensorSpec> inputs, std::span<const TensorSpec> outputs,
                const Attributes& attributes) { return SuitsDnnl(outputs, inputs, attributes); }};

Values AveragePoolVjp(const VjpCall& call) {
  return {Call("gradwire::AveragePoolGrad", {call.dy()}, call.attributes())};
}

Values AveragePoolGradVjp(const VjpCall& call) {
  return {Call("gradwire::AveragePool", {call.dy()}, call.attributes())};
}

Window OnnxPoolWindow(const OpCall& call) {
  return OnnxWindow(call.attributes(), KernelShape(call), SpatialDims(call.dims(0)),
                    call.attributes().Int("ceil_mode", 0) != 0);
}

Value Average(const Value& x, const Window& window, std::vector<int64_t> counted) {
  Attributes attributes = window.ToAttributes();
  attributes.Set("kernel_shape", ToVector(window.kernel));
  attributes.Set("counted", std::move(counted));
  return Call("gradwire::AveragePool", {x}, std::move(attributes));
}

Values DecomposeAveragePool(const OpCall& call) {
  const Window window = OnnxPoolWindow(call);
  std::vector<int64_t> counted(2 * window.kernel.size(), 0);
  if (call.attributes().Int("count_include_pad", 0) != 0) {
    // The padding that was asked for, not what ceil_mode adds to it.
    const std::vector<int64_t> pads = window.ToAttributes().Ints("pads");
    const bool explicit_pads = call.attributes().String("auto_pad", "NOTSET") == "NOTSET";
    counted = explicit_pads ? call.attributes().Ints("pads", counted) : pads;
    for (int64_t& pad : counted) pad = std::max<int64_t>(0, pad);
  }
  return {Average(call.input(0), window, std::move(counted))};
}

double PowerOf(const OpCall& call) {
  const AttributeValue* p = call.attributes().Find("p");
  if (p == nullptr) return 2;
  const auto* number = std::get_if<double>(p);
  return number != nullptr ? *number : static_cast<double>(call.attributes().Int("p"));
}

Value PowerOfAbs(const Value& x, double p) {
  if (p == 1) return Abs(x);
  return p == 2 ? Square(x) : Pow(Abs(x), p);
}

// With a derivative of 0 at 0, as a norm has, in place of one that is infinite.
Value Root(const Value& x, double p) {
  if (p == 1) return x;
  const Value zero = Equal(x, 0.0);
  const Value safe = Where(zero, Scalar(1, x.dtype()), x);
  return Where(zero, Scalar(0, x.dtype()), p == 2 ? Sqrt(safe) : Pow(safe, 1 / p));
}

// (sum of |x|^p)^(1/p), where the sum is an average over all taps times their number.
Values DecomposeLpPool(const OpCall& call) {
  const Window window = OnnxPoolWindow(call);
  const double p = PowerOf(call);
  std::vector<int64_t> all = ToVector(window.begin);
  for (const int64_t pad : window.end) all.push_back(std::max<int64_t>(0, pad));
  const auto taps = static_cast<double>(NumElements(window.kernel));
  const Value sum = Average(PowerOfAbs(call.input(0), p), window, std::move(all)) * taps;
  return {Root(sum, p)};
}

Dims SpatialAxes(const OpCall& call) {
  if (call.rank(0) < 2) {
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}: rank 2 or more is expected", ToString(call.spec(0))));
  }
  const Dims all = AllAxes(call.rank(0));
  return {all.begin() + 2, all.end()};
}

Values DecomposeGlobalAveragePool(const OpCall& call) {
  return {Mean(call.input(0), SpatialAxes(call), /*keepdims=*/true)};
}

Values DecomposeGlobalMaxPool(const OpCall& call) {
  return {Max(call.input(0), SpatialAxes(call), /*keepdims=*/true)};
}

Values DecomposeGlobalLpPool(const OpCall& call) {
  const double p = PowerOf(call);
  return {Root(Sum(PowerOfAbs(call.input(0), p), SpatialAxes(call), /*keepdims=*/true), p)};
}

GRADWIRE_OP({.name = "AveragePool",
             .domain = "gradwire",
             .attributes = kCanonical,
             .infer = InferAveragePool,
             .cpu = AveragePoolCpu,
             .vjp = AveragePoolVjp,
             .samples = [](const Attributes&, int) { return 1u; },
             .channels_last = &kAveragePool});
GRADWIRE_OP({.name = "AveragePoolGrad",
             .domain = "gradwire",
             .attributes = kCanonical,
             .infer = InferAveragePoolGrad,
             .cpu = AveragePoolGradCpu,
             .vjp = AveragePoolGradVjp,
             .channels_last = &kAveragePoolGrad});

GRADWIRE_OP({.name = "AveragePool",
             .attributes = {"auto_pad", "kernel_shape", "pads", "strides"},
             .decompose = DecomposeAveragePool});
GRADWIRE_OP({.name = "AveragePool",
             .since = 7,
             .attributes = {"auto_pad", "count_include_pad", "kernel_shape", "pads", "strides"},
             .decompose = DecomposeAveragePool});
GRADWIRE_OP({.name = "AveragePool",
             .since = 10,
             .attributes = {"auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads",
                            "strides"},
             .decompose = DecomposeAveragePool});
GRADWIRE_OP({.name = "AveragePool",
             .since = 19,
             .attributes = {"auto_pad", "ceil_mode", "count_include_pad", "dilations",
                            "kernel_shape", "pads", "strides"},
             .decompose = DecomposeAveragePool});
GRADWIRE_OP({.name = "LpPool",
             .attributes = {"auto_pad", "kernel_shape", "p", "pads", "strides"},
             .decompose = DecomposeLpPool});
GRADWIRE_OP({.name = "LpPool",
             .since = 18,
             .attributes = {"auto_pad", "ceil_mode", "dilations", "kernel_shape", "p", "pads",
                            "strides"},
             .decompose = DecomposeLpPool});
GRADWIRE_OP({.name = "GlobalAveragePool", .decompose = DecomposeGlobalAveragePool});
GRADWIRE_OP({.name = "GlobalMaxPool", .decompose = DecomposeGlobalMaxPool});
GRADWIRE_OP({.name = "GlobalLpPool", .attributes = {"p"}, .decompose = DecomposeGlobalLpPool});

}  // namespace
}  // namespace gradwire
