// Convolutions. gradwire::Conv, ConvInputGrad and ConvWeightGrad are one trilinear form
//   sum over n, m, c, o, k of  x[n, c, i(o, k)] w[m, c, k] y[n, m, o]
// read towards y, x and w: the derivative of each in its arguments are the other two. They share
// their attributes, whose pads are exact (see window.h), so that any extent follows from the
// others.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/channels_last.h"
#include "graph/flops.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/conv_dnnl.h"
#include "ops/conv_loops.h"
#include "ops/window.h"
#include "ops/winograd.h"

namespace gradwire {
namespace {

int64_t Groups(const Attributes& attributes) { return attributes.Int("group", 1); }

void RequireRank(const TensorSpec& spec, const char* what, int rank) {
  if (spec.rank() == rank && rank >= 3) return;
  throw Error(reason::kShapeMismatch, fmt::format("{} is {}: rank {} is expected", what,
                                                  ToString(spec), std::max(3, rank)));
}

// Channels of x and y, out of the weights; checks that groups divide them.
void RequireChannels(const TensorSpec& array, const char* what, int64_t channels,
                     const TensorSpec& w, int64_t groups) {
  const bool divides = groups >= 1 && w.dims[0] % groups == 0;
  if (divides && array.dims[1] == channels) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("{} is {}, W is {}, group is {}: {} channels != {}", what,
                          ToString(array), ToString(w), groups, array.dims[1], channels));
}

ConvForm FormOfConv(const TensorSpec& x, const TensorSpec& w, const Attributes& attributes) {
  RequireRank(x, "X", x.rank());
  RequireRank(w, "W", x.rank());
  const int64_t groups = Groups(attributes);
  RequireChannels(x, "X", w.dims[1] * groups, w, groups);
  const Window window = CanonicalWindow(attributes, SpatialDims(w.dims));
  CheckFit(window, SpatialDims(x.dims));
  const Dims y = WithChannels(x.dims[0], w.dims[0], window.OutputOf(SpatialDims(x.dims)));
  return {window, groups, x.dims, w.dims, y};
}

ConvForm FormOfInputGrad(const TensorSpec& y, const TensorSpec& w, const Attributes& attributes) {
  RequireRank(y, "dY", y.rank());
  RequireRank(w, "W", y.rank());
  const int64_t groups = Groups(attributes);
  RequireChannels(y, "dY", w.dims[0], w, groups);
  const Window window = CanonicalWindow(attributes, SpatialDims(w.dims));
  const Dims x = WithChannels(y.dims[0], w.dims[1] * groups, window.InputOf(SpatialDims(y.dims)));
  return {window, groups, x, w.dims, y.dims};
}

ConvForm FormOfWeightGrad(const TensorSpec& x, const TensorSpec& y, const Attributes& attributes) {
  RequireRank(x, "X", x.rank());
  RequireRank(y, "dY", x.rank());
  const int64_t groups = Groups(attributes);
  const bool divides = groups >= 1 && x.dims[1] % groups == 0 && y.dims[1] % groups == 0;
  if (!divides || x.dims[0] != y.dims[0]) {
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, dY is {}, group is {}: batches differ or group does not "
                            "divide the channels",
                            ToString(x), ToString(y), groups));
  }
  Window window = CanonicalWindow(attributes, Dims(x.dims.size() - 2, 1));
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    const int64_t span =
        x.dims[i + 2] + window.begin[i] + window.end[i] - window.strides[i] * (y.dims[i + 2] - 1);
    window.kernel[i] = (span - 1) / window.dilations[i] + 1;
  }
  window = CanonicalWindow(attributes, window.kernel);
  if (window.OutputOf(SpatialDims(x.dims)) != SpatialDims(y.dims)) {
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, dY is {}: no kernel fits between", ToString(x), ToString(y)));
  }
  const Dims w = WithChannels(y.dims[1], x.dims[1] / groups, window.kernel);
  return {window, groups, x.dims, w, y.dims};
}

// The three arrays' extents, of a call whose images may have their channels last.
using FormOf = ConvForm (*)(const TensorSpec& first, const TensorSpec& second, const Attributes&);
template <FormOf form_of, bool kSecondIsImage>
ConvForm FormOfCall(const KernelContext& context, bool channels_last) {
  TensorSpec first = context.input(0).spec();
  TensorSpec second = context.input(1).spec();
  if (channels_last) {
    first.dims = WithChannelsFirst(first.dims);
    if (kSecondIsImage) second.dims = WithChannelsFirst(second.dims);
  }
  return form_of(first, second, context.attributes());
}

ConvProblem ProblemOf(const ConvForm& form) {
  return {Geometry(form.window, SpatialDims(form.x), SpatialDims(form.y)), form.x[0], form.groups,
          form.w[1], form.w[0] / form.groups};
}

Specs InferConv(const OpCall& call) {
  call.RequireSameType(1);
  const ConvForm form = FormOfConv(call.spec(0), call.spec(1), call.attributes());
  if (call.has(2)) {
    call.RequireSameType(2);
    if (call.dims(2) != Dims{form.w[0]}) {
      throw Error(reason::kShapeMismatch,
                  fmt::format("B is {}, expected [{}]", ToString(call.spec(2)), form.w[0]));
    }
  }
  return {{call.dtype(0), form.y}};
}

template <bool kChannelsLast>
void ConvCpu(KernelContext& context) {
  if (context.output(0).numel() == 0) return;
  const ConvForm form = FormOfCall<FormOfConv, false>(context, kChannelsLast);
  if (!kChannelsLast && !SuitsDnnl(context.input(0).dtype(), form)) {
    Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
      ConvForward(context.stream(), ProblemOf(form), context.in<T>(0), context.in<T>(1),
                  context.has(2) ? context.in<T>(2) : nullptr, context.out<T>(0));
    });
    return;
  }
  ConvByDnnl(context, form, kChannelsLast);
}

Specs InferInputGrad(const OpCall& call) {
  call.RequireSameType(1);
  return {{call.dtype(0), FormOfInputGrad(call.spec(0), call.spec(1), call.attributes()).x}};
}

template <bool kChannelsLast>
void ConvInputGradCpu(KernelContext& context) {
  if (context.output(0).numel() == 0) return;
  const ConvForm form = FormOfCall<FormOfInputGrad, false>(context, kChannelsLast);
  if (!kChannelsLast && !SuitsDnnl(context.input(0).dtype(), form)) {
    Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
      ConvInputGrad(context.stream(), ProblemOf(form), context.in<T>(0), context.in<T>(1),
                    context.out<T>(0));
    });
    return;
  }
  ConvInputGradByDnnl(context, form, kChannelsLast);
}

Specs InferWeightGrad(const OpCall& call) {
  call.RequireSameType(1);
  return {{call.dtype(0), FormOfWeightGrad(call.spec(0), call.spec(1), call.attributes()).w}};
}

template <bool kChannelsLast>
void ConvWeightGradCpu(KernelContext& context) {
  if (context.output(0).numel() == 0) return;
  const ConvForm form = FormOfCall<FormOfWeightGrad, true>(context, kChannelsLast);
  if (!kChannelsLast && !SuitsDnnl(context.input(0).dtype(), form)) {
    Dispatch(FloatTypes{}, context.input(0).dtype(), [&]<class T>() {
      ConvWeightGrad(context.stream(), ProblemOf(form), context.in<T>(0), context.in<T>(1),
                     context.out<T>(0));
    });
    return;
  }
  ConvWeightGradByDnnl(context, form, kChannelsLast);
}

template <FormOf form_of>
bool SuitsChannelsLast(std::span<const TensorSpec> inputs, std::span<const TensorSpec>,
                       const Attributes& attributes) {
  return SuitsDnnl(inputs[0].dtype, form_of(inputs[0], inputs[1], attributes));
}

int64_t ConvKeptBytes(std::span<const TensorSpec> inputs, const Attributes& attributes) {
  const TensorSpec x = {inputs[0].dtype, WithChannelsFirst(inputs[0].dims)};
  const ConvForm form = FormOfConv(x, inputs[1], attributes);
  return SuitsDnnl(x.dtype, form) ? WinogradBytes(form) : 0;
}

void ConvConstantCpu(KernelContext& context) {
  ConvByWinograd(context, FormOfCall<FormOfConv, false>(context, /*channels_last=*/true));
}

constexpr ConstantForm kConvConstant = {ConvConstantCpu, ConvKeptBytes};
constexpr ChannelsLast kConv = {.cpu = ConvCpu<true>,
                                .worthwhile = true,
                                .suits = SuitsChannelsLast<FormOfConv>,
                                .constant = &kConvConstant};
constexpr ChannelsLast kInputGrad = {
    .cpu = ConvInputGradCpu<true>, .worthwhile = true, .suits = SuitsChannelsLast<FormOfInputGrad>};
constexpr ChannelsLast kWeightGrad = {.cpu = ConvWeightGradCpu<true>,
                                      .images = 0b11,
                                      .makes_images = false,
                                      .worthwhile = true,
                                      .suits = SuitsChannelsLast<FormOfWeightGrad>};

// One of the three, for the derivative of another.
Value Other(const VjpCall& call, size_t i, std::string_view name, const Value& a, const Value& b) {
  return call.needs(i) ? Call(name, {a, b}, call.attributes()) : Value();
}

Values ConvVjp(const VjpCall& call) {
  Values gradients = {Other(call, 0, "gradwire::ConvInputGrad", call.dy(), call.input(1)),
                      Other(call, 1, "gradwire::ConvWeightGrad", call.input(0), call.dy())};
  if (call.needs(2)) {
    Dims axes = AllAxes(call.dy().rank());
    axes.erase(axes.begin() + 1);
    gradients.push_back(Sum(call.dy(), axes, /*keepdims=*/false));
  }
  return gradients;
}

Values ConvInputGradVjp(const VjpCall& call) {
  return {Other(call, 0, "gradwire::Conv", call.dy(), call.input(1)),
          Other(call, 1, "gradwire::ConvWeightGrad", call.dy(), call.input(0))};
}

Values ConvWeightGradVjp(const VjpCall& call) {
  return {Other(call, 0, "gradwire::ConvInputGrad", call.input(1), call.dy()),
          Other(call, 1, "gradwire::Conv", call.input(0), call.dy())};
}

// All three multiply each element of y with a filter's: of as many as w has for an output channel.
int64_t FlopsOf(const TensorSpec& y, const TensorSpec& w) {
  return y.numel() == 0 ? 0 : 2 * y.numel() * (w.numel() / w.dims[0]);
}

int64_t ConvFlops(const Node& node) {
  const TensorSpec& y = node.output_slot(0)->spec;
  const bool adds_bias = node.inputs().size() > 2 && node.inputs()[2];
  return FlopsOf(y, node.inputs()[1].spec()) + (adds_bias ? y.numel() : 0);
}

int64_t ConvInputGradFlops(const Node& node) {
  return FlopsOf(node.inputs()[0].spec(), node.inputs()[1].spec());
}

int64_t ConvWeightGradFlops(const Node& node) {
  return FlopsOf(node.inputs()[1].spec(), node.output_slot(0)->spec);
}

GRADWIRE_OP({.name = "Conv",
             .domain = "gradwire",
             .inputs = {2, 3},
             .attributes = {"strides", "dilations", "pads", "group"},
             .infer = InferConv,
             .cpu = ConvCpu<false>,
             .vjp = ConvVjp,
             .saves = {.inputs = 0b11},
             .samples = [](const Attributes&, int) { return 1u; },
             .packs = 1,
             .channels_last = &kConv});
GRADWIRE_FLOPS("gradwire", "Conv", ConvFlops);
GRADWIRE_OP({.name = "ConvInputGrad",
             .domain = "gradwire",
             .inputs = 2,  // dy, w
             .attributes = {"strides", "dilations", "pads", "group"},
             .infer = InferInputGrad,
             .cpu = ConvInputGradCpu<false>,
             .vjp = ConvInputGradVjp,
             .saves = kSaveInputs,
             .channels_last = &kInputGrad});
GRADWIRE_FLOPS("gradwire", "ConvInputGrad", ConvInputGradFlops);
GRADWIRE_OP({.name = "ConvWeightGrad",
             .domain = "gradwire",
             .inputs = 2,  // x, dy
             .attributes = {"strides", "dilations", "pads", "group"},
             .infer = InferWeightGrad,
             .cpu = ConvWeightGradCpu<false>,
             .vjp = ConvWeightGradVjp,
             .saves = kSaveInputs,
             .channels_last = &kWeightGrad});
GRADWIRE_FLOPS("gradwire", "ConvWeightGrad", ConvWeightGradFlops);

}  // namespace

ConvProblem ProblemOfConv(const KernelContext& context) {
  return ProblemOf(
      FormOfConv(context.input(0).spec(), context.input(1).spec(), context.attributes()));
}

ConvProblem ProblemOfInputGrad(const KernelContext& context) {
  return ProblemOf(
      FormOfInputGrad(context.input(0).spec(), context.input(1).spec(), context.attributes()));
}

ConvProblem ProblemOfWeightGrad(const KernelContext& context) {
  return ProblemOf(
      FormOfWeightGrad(context.input(0).spec(), context.input(1).spec(), context.attributes()));
}

}  // namespace gradwire
