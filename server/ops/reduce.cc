// Sums, means, extremes, products and norms over axes: the canonical rows, whose attributes are the
// normalised axes (none: nothing is reduced) and whether they stay with extent 1. ONNX's rows are
// in reduce_onnx.cc.
#include <utility>

#include "graph/flops.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/reducers.h"
#include "ops/reduction.h"

namespace gradwire {
namespace {

Specs InferReduce(const OpCall& call) {
  const Dims axes = NormalizeAxes(call.attributes().Ints("axes"), call.rank(0));
  const bool keepdims = call.attributes().Int("keepdims", 1) != 0;
  TensorSpec spec{call.dtype(0), {}};
  auto axis = axes.begin();
  for (int i = 0; i < call.rank(0); ++i) {
    const bool reduced = axis != axes.end() && *axis == i;
    if (reduced) ++axis;
    if (!reduced) spec.dims.push_back(call.dims(0)[static_cast<size_t>(i)]);
    if (reduced && keepdims) spec.dims.push_back(1);
  }
  return {spec};
}

template <template <class> class R, class T>
void ReduceAs(KernelContext& context) {
  const ReductionLayout layout =
      LayoutReduction(context.input(0).dims(), context.attributes().Ints("axes"));
  if (context.input(0).numel() != 0) {
    Reduce<R<T>>(context, layout, context.in<T>(0), context.out<T>(0));
  } else {
    std::fill_n(context.out<T>(0), context.output(0).numel(), R<T>::Finish(R<T>::kFirst, 0));
  }
}

constexpr DTypeSet kArithmetic =
    kFloats | (DType::kInt32 | DType::kInt64) | (DType::kUint32 | DType::kUint64);

template <template <class> class R>
void ArithmeticKernel(KernelContext& context) {
  Dispatch(ArithmeticTypes{}, context.input(0).dtype(),
           [&]<class T>() { ReduceAs<R, T>(context); });
}

template <template <class> class R>
void ExtremeKernel(KernelContext& context) {
  DispatchCompared(context.input(0).dtype(), [&]<class T>() { ReduceAs<R, T>(context); });
}

Dims AxesOf(const VjpCall& call) {
  return NormalizeAxes(call.attributes().Ints("axes"), call.input_spec(0).rank());
}

// An output, or its gradient, with the reduced axes back in place as ones.
Value Keep(const VjpCall& call, const Value& y) {
  Dims dims = call.input_spec(0).dims;
  for (const int64_t axis : AxesOf(call)) dims[static_cast<size_t>(axis)] = 1;
  return Reshape(y, dims);
}

Values SumVjp(const VjpCall& call) {
  return {Expand(Keep(call, call.dy()), call.input_spec(0).dims)};
}

Values MeanVjp(const VjpCall& call) {
  const TensorSpec& x = call.input_spec(0);
  double count = 1;
  for (const int64_t axis : AxesOf(call)) count *= double(x.dims[static_cast<size_t>(axis)]);
  return {Expand(Keep(call, call.dy()) / count, x.dims)};
}

// Ties share the gradient evenly.
Values ExtremeVjp(const VjpCall& call) {
  const Value x = call.input(0);
  const Value hits = Mask(Equal(x, Keep(call, call.output(0))), x.dtype());
  return {hits * (Keep(call, call.dy()) / Sum(hits, AxesOf(call), /*keepdims=*/true))};
}

Values L1Vjp(const VjpCall& call) { return {Keep(call, call.dy()) * Sign(call.input(0))}; }

Values SumSquareVjp(const VjpCall& call) { return {Keep(call, call.dy()) * 2.0 * call.input(0)}; }

// x / |x|; 0 where the norm is.
Values L2Vjp(const VjpCall& call) {
  const Value norm = Keep(call, call.output(0));
  const Value is_zero = Equal(norm, 0.0);
  const Value divisor = Where(is_zero, Scalar(1, norm.dtype()), norm);
  const Value scale = Where(is_zero, Scalar(0, norm.dtype()), Keep(call, call.dy()) / divisor);
  return {scale * call.input(0)};
}

Value Part(const Value& x, int axis, int64_t begin, int64_t end) {
  return Slice(x, {begin}, {end}, {axis}, {1});
}

// dy times the product of the other elements along an axis, without a division: halves are
// multiplied until one element is left, and on the way back each half takes the other one's
// product. Right with zeros, and so are its own derivatives.
Value ProductOfOthers(Value x, int axis, Value dy) {
  const auto at = static_cast<size_t>(axis);
  std::vector<std::pair<Value, Value>> halves;
  std::vector<int64_t> lengths;
  for (int64_t n = x.dims()[at]; n > 1; n = x.dims()[at]) {
    lengths.push_back(n);
    if (n % 2 != 0) {
      Dims one = x.dims();
      one[at] = 1;
      x = Concat({x, Full(one, 1, x.dtype())}, axis);
      ++n;
    }
    halves.emplace_back(Part(x, axis, 0, n / 2), Part(x, axis, n / 2, n));
    x = halves.back().first * halves.back().second;
  }
  while (!halves.empty()) {
    const auto& [low, high] = halves.back();
    dy = Part(Concat({dy * high, dy * low}, axis), axis, 0, lengths.back());
    halves.pop_back();
    lengths.pop_back();
  }
  return dy;
}

// One axis at a time: the product over several is a product of products.
Values ProdVjp(const VjpCall& call) {
  const Value x = call.input(0);
  if (x.numel() == 0) return {ZerosLike(x.spec())};
  const Dims axes = AxesOf(call);
  std::vector<Value> products = {x};
  for (const int64_t axis : axes) {
    products.push_back(Call("gradwire::ReduceProd", {products.back()},
                            {{"axes", std::vector<int64_t>{axis}}, {"keepdims", int64_t{1}}}));
  }
  Value dy = Keep(call, call.dy());
  for (size_t i = axes.size(); i-- > 0;) {
    dy = ProductOfOthers(products[i], static_cast<int>(axes[i]), dy);
  }
  return {dy};
}

int64_t ReduceFlops(const Node& node) { return node.inputs()[0].numel(); }

OpDef Row(std::string_view name, Kernel kernel, Vjp vjp, Saves saves = kSaveNothing,
          DTypeSet types = kArithmetic) {
  return {.name = name,
          .domain = "gradwire",
          .types = types,
          .attributes = {"axes", "keepdims"},
          .infer = InferReduce,
          .cpu = kernel,
          .vjp = vjp,
          .saves = saves};
}

GRADWIRE_OP((Row("ReduceSum", ArithmeticKernel<SumOf>, SumVjp)));
GRADWIRE_OP((Row("ReduceMean", ArithmeticKernel<MeanOf>, MeanVjp)));
GRADWIRE_OP((Row("ReduceL1", ArithmeticKernel<L1Of>, L1Vjp, kSaveInputs)));
GRADWIRE_OP((Row("ReduceSumSquare", ArithmeticKernel<SumSquareOf>, SumSquareVjp, kSaveInputs)));
GRADWIRE_OP((Row("ReduceL2", ArithmeticKernel<L2Of>, L2Vjp, {.inputs = 1, .outputs = 1})));
GRADWIRE_OP((Row("ReduceProd", ArithmeticKernel<ProdOf>, ProdVjp, kSaveInputs)));
GRADWIRE_OP((Row("ReduceMax", ExtremeKernel<MaxOf>, ExtremeVjp, {.inputs = 1, .outputs = 1},
                 kNumbers | kBool)));
GRADWIRE_OP((Row("ReduceMin", ExtremeKernel<MinOf>, ExtremeVjp, {.inputs = 1, .outputs = 1},
                 kNumbers | kBool)));

GRADWIRE_FLOPS("gradwire", "ReduceSum", ReduceFlops);
GRADWIRE_FLOPS("gradwire", "ReduceMean", ReduceFlops);
GRADWIRE_FLOPS("gradwire", "ReduceL1", ReduceFlops);
GRADWIRE_FLOPS("gradwire", "ReduceSumSquare", ReduceFlops);
GRADWIRE_FLOPS("gradwire", "ReduceL2", ReduceFlops);
GRADWIRE_FLOPS("gradwire", "ReduceProd", ReduceFlops);

}  // namespace
}  // namespace gradwire
