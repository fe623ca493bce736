// Batch normalisation with the statistics of the batch, its gradient, and the form with given
// statistics. The channels are axis 1; parameters and statistics are float[channels]. Own loops for
// every type: oneDNN is 3 to 50 times slower on row-major arrays.
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "graph/channels_last.h"
#include "graph/kernel.h"
#include "ops/batch_norm_last.h"
#include "ops/norm.h"

namespace gradwire {
namespace {

// Inputs from `begin` to `end` hold one element a channel of input `x`: of float32 where that is of
// 16-bit floats.
void CheckPerChannel(const OpCall& call, size_t x, size_t begin, size_t end) {
  if (call.rank(x) < 2) {
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, expected batch and channels", ToString(call.spec(x))));
  }
  for (size_t i = begin; i < end; ++i) {
    call.RequireType(i, ComputeType(call.dtype(x)));
    if (call.dims(i) == Dims{call.dims(x)[1]}) continue;
    throw Error(reason::kShapeMismatch,
                fmt::format("X is {}, input {} is {}: expected one element for each of {} channels",
                            ToString(call.spec(x)), i, ToString(call.spec(i)), call.dims(x)[1]));
  }
}

double Epsilon(const Attributes& attributes) { return attributes.Float("epsilon"); }

// Y, the mean and the population variance of X, scale, bias.
Specs InferBatchNorm(const OpCall& call) {
  CheckPerChannel(call, 0, 1, 3);
  return {call.spec(0), call.spec(1), call.spec(1)};
}

template <class T>
void BatchNormCpu(KernelContext& k) {
  const Channels view(k.input(0).dims());
  const double epsilon = Epsilon(k.attributes());
  const T *x = k.in<T>(0), *scale = k.in<T>(1), *bias = k.in<T>(2);
  T *y = k.out<T>(0), *mean = k.out<T>(1), *var = k.out<T>(2);
  ForChannelBlocks(view, [=](int64_t first, int64_t n) {
    std::array<double, kMaxChannelBlock> sums;
    const auto count = static_cast<double>(view.count());
    SumElements<T>(view, first, n, sums.data(),
                   [=](int64_t) { return [=](int64_t i) { return x[i]; }; });
    for (int64_t c = 0; c < n; ++c) mean[first + c] = static_cast<T>(sums[size_t(c)] / count);
    SumElements<T>(view, first, n, sums.data(), [=](int64_t c) {
      return [=, m = mean[c]](int64_t i) { return (x[i] - m) * (x[i] - m); };
    });
    std::array<T, kMaxChannelBlock> factor;
    for (int64_t c = 0; c < n; ++c) {
      const double variance = sums[size_t(c)] / count;
      var[first + c] = static_cast<T>(variance);
      factor[size_t(c)] = static_cast<T>(scale[first + c] / std::sqrt(variance + epsilon));
    }
    ForEachElement(view, first, n, [=, &factor](int64_t c) {
      return [=, m = mean[c], f = factor[size_t(c - first)], b = bias[c]](int64_t i) {
        y[i] = (x[i] - m) * f + b;
      };
    });
  });
}

// scale * (x - mean) / sqrt(var + epsilon) + bias, all but x one element a channel.
Value Normalized(const Value& x, const Value& scale, const Value& bias, const Value& mean,
                 const Value& var, double epsilon) {
  const int rank = x.rank();
  const Value factor = scale / Sqrt(var + epsilon);
  return (x - PerChannel(mean, rank)) * PerChannel(factor, rank) + PerChannel(bias, rank);
}

Values DecomposeBatchNorm(const OpCall& call) {
  InferBatchNorm(call);
  const Value x = call.input(0);
  const Dims axes = AxesButChannels(x.rank());
  const Value mean = Mean(x, axes, false);
  const Value var = Mean(Square(x - PerChannel(mean, x.rank())), axes, false);
  return {Normalized(x, call.input(1), call.input(2), mean, var, Epsilon(call.attributes())), mean,
          var};
}

Values BatchNormVjp(const VjpCall& call) {
  const Value x = call.input(0);
  const Value mean = call.output(1);
  Values gradients(3);
  if (call.flows(0)) {
    gradients = ApplyAll("gradwire::BatchNormGrad",
                         {call.dy(), x, call.input(1), mean, call.output(2)}, call.attributes(), 3);
  }
  const auto add = [&](const Value& gradient) {
    gradients[0] = gradients[0] ? gradients[0] + gradient : gradient;
  };
  const double count = static_cast<double>(Channels(x.dims()).count());
  if (call.flows(1)) add(Expand(PerChannel(call.dy(1) / count, x.rank()), x.dims()));
  if (call.flows(2)) {
    add((x - PerChannel(mean, x.rank())) * PerChannel(call.dy(2) * (2 / count), x.rank()));
  }
  return gradients;
}

// dX, dscale, dbias of dY, X, scale, and X's mean and variance.
Specs InferBatchNormGrad(const OpCall& call) {
  CheckPerChannel(call, 1, 2, 5);
  call.RequireSameType(1);
  if (call.dims(0) != call.dims(1)) {
    throw Error(reason::kShapeMismatch,
                fmt::format("dY is {}, X is {}: shapes differ", ToString(call.spec(0)),
                            ToString(call.spec(1))));
  }
  return {call.spec(1), call.spec(2), call.spec(2)};
}

template <class T>
void BatchNormGradCpu(KernelContext& k) {
  const Channels view(k.input(1).dims());
  const double epsilon = Epsilon(k.attributes());
  const T *dy = k.in<T>(0), *x = k.in<T>(1), *scale = k.in<T>(2), *mean = k.in<T>(3),
          *var = k.in<T>(4);
  T *dx = k.out<T>(0), *dscale = k.out<T>(1), *dbias = k.out<T>(2);
  ForChannelBlocks(view, [=](int64_t first, int64_t n) {
    std::array<double, kMaxChannelBlock> sum, dot;
    SumElements<T>(view, first, n, sum.data(),
                   [=](int64_t) { return [=](int64_t i) { return dy[i]; }; });
    SumElements<T>(view, first, n, dot.data(), [=](int64_t c) {
      return [=, m = mean[c]](int64_t i) { return dy[i] * (x[i] - m); };
    });
    // dx = f * (dy - shift - slope * (x - mean))
    std::array<T, kMaxChannelBlock> factor, shift, slope;
    const auto count = static_cast<double>(view.count());
    for (int64_t c = 0; c < n; ++c) {
      const auto at = static_cast<size_t>(c);
      const double inverse = 1 / std::sqrt(var[first + c] + epsilon);
      dbias[first + c] = static_cast<T>(sum[at]);
      dscale[first + c] = static_cast<T>(dot[at] * inverse);
      factor[at] = static_cast<T>(scale[first + c] * inverse);
      shift[at] = static_cast<T>(sum[at] / count);
      slope[at] = static_cast<T>(dot[at] * inverse * inverse / count);
    }
    ForEachElement(view, first, n, [=, &factor, &shift, &slope](int64_t c) {
      const auto at = static_cast<size_t>(c - first);
      return [=, m = mean[c], f = factor[at], s = shift[at], p = slope[at]](int64_t i) {
        dx[i] = f * (dy[i] - s - p * (x[i] - m));
      };
    });
  });
}

Values DecomposeBatchNormGrad(const OpCall& call) {
  InferBatchNormGrad(call);
  const Value dy = call.input(0);
  const int rank = dy.rank();
  const Dims axes = AxesButChannels(rank);
  const double count = static_cast<double>(Channels(dy.dims()).count());
  const Value inverse = 1.0 / Sqrt(call.input(4) + Epsilon(call.attributes()));
  const Value unit = (call.input(1) - PerChannel(call.input(3), rank)) * PerChannel(inverse, rank);
  const Value dbias = Sum(dy, axes, false);
  const Value dscale = Sum(dy * unit, axes, false);
  const Value dx = PerChannel(call.input(2) * inverse, rank) *
                   (dy - PerChannel(dbias / count, rank) - unit * PerChannel(dscale / count, rank));
  return {dx, dscale, dbias};
}

// Y of X, scale, bias, mean, variance. It is elementwise: plans run it as one with what follows,
// and compute the factor of constant statistics once.
Values DecomposeWithStatistics(const OpCall& call) {
  CheckPerChannel(call, 0, 1, 5);
  return {Normalized(call.input(0), call.input(1), call.input(2), call.input(3), call.input(4),
                     Epsilon(call.attributes()))};
}

void DispatchBatchNorm(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { BatchNormCpu<T>(k); });
}
void DispatchBatchNormGrad(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { BatchNormGradCpu<T>(k); });
}
constexpr ChannelsLast kBatchNorm = {.cpu = BatchNormChannelsLast};
constexpr ChannelsLast kBatchNormGrad = {.cpu = BatchNormGradChannelsLast, .images = 0b11};

GRADWIRE_OP({.name = "BatchNorm",
             .domain = "gradwire",
             .inputs = 3,
             .outputs = {1, 3},
             .attributes = {"epsilon"},
             .infer = InferBatchNorm,
             .cpu = DispatchBatchNorm,
             .decompose = DecomposeBatchNorm,
             .vjp = BatchNormVjp,
             .saves = {.inputs = 0b011, .outputs = 0b110},
             .channels_last = &kBatchNorm});
GRADWIRE_OP({.name = "BatchNormGrad",
             .domain = "gradwire",
             .inputs = 5,
             .outputs = {1, 3},
             .attributes = {"epsilon"},
             .infer = InferBatchNormGrad,
             .cpu = DispatchBatchNormGrad,
             .decompose = DecomposeBatchNormGrad,
             .channels_last = &kBatchNormGrad});
GRADWIRE_OP({.name = "BatchNormWithStatistics",
             .domain = "gradwire",
             .inputs = 5,
             .attributes = {"epsilon"},
             .decompose = DecomposeWithStatistics});

}  // namespace
}  // namespace gradwire
