// Normalisation over trailing axes, its gradient, and the operators of ONNX that come down to it.
#include <fmt/format.h>

#include <cmath>
#include <span>

#include "backend/cpu/dnnl.h"
#include "graph/formula.h"
#include "graph/kernel.h"
#include "ops/norm.h"

namespace gradwire {
namespace {

// The array as rows that are each normalised.
struct Rows {
  int64_t rows;
  int64_t length;

  Rows(const Dims& dims, const Attributes& attributes) {
    const auto axis = static_cast<size_t>(attributes.Int("axis"));
    rows = NumElements(std::span<const int64_t>(dims).first(axis));
    length = NumElements(std::span<const int64_t>(dims).subspan(axis));
  }
};

// Whether the mean is subtracted; otherwise this is RMS normalisation.
bool Centered(const Attributes& attributes) { return attributes.Int("center") != 0; }

// Throws INVALID_ARGUMENT for an axis that X does not have: clients may call these rows themselves.
Dims TrailingAxes(const TensorSpec& x, const Attributes& attributes) {
  const int64_t first = attributes.Int("axis");
  if (first < 0 || first > x.rank()) {
    throw Error(reason::kInvalidArgument, fmt::format("axis is {}, X is {}: 0 to {} is expected",
                                                      first, ToString(x), x.rank()));
  }
  Dims axes;
  for (int64_t axis = first; axis < x.rank(); ++axis) axes.push_back(axis);
  return axes;
}

// X's shape with the normalised axes as 1. Statistics of 16-bit floats are float32.
TensorSpec StatisticSpec(const TensorSpec& x, const Attributes& attributes) {
  TensorSpec spec{ComputeType(x.dtype), x.dims};
  for (const int64_t axis : TrailingAxes(x, attributes)) spec.dims[size_t(axis)] = 1;
  return spec;
}

void CheckParameter(const OpCall& call, size_t x, size_t i) {
  const Dims& dims = call.dims(x);
  call.RequireSameType(i);
  if (call.dims(i) == Dims(dims.begin() + call.attributes().Int("axis"), dims.end())) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("X is {}, input {} is {}: expected X's shape from "
                          "axis {} on",
                          ToString(call.spec(x)), i, ToString(call.spec(i)),
                          call.attributes().Int("axis")));
}

// Y, mean and 1 / sqrt(variance + epsilon) of X and, optionally, scale and bias. The mean is 0
// where it is not subtracted.
Specs InferLayerNorm(const OpCall& call) {
  const TensorSpec statistic = StatisticSpec(call.spec(0), call.attributes());
  for (size_t i = 1; i < call.num_inputs(); ++i) CheckParameter(call, 0, i);
  return {call.spec(0), statistic, statistic};
}

template <class T>
void NormalizeRow(const T* x, const T* scale, const T* bias, T* y, int64_t n, T mean, T inverse) {
  if (scale == nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inverse;
  } else if (bias == nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inverse * scale[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inverse * scale[i] + bias[i];
  }
}

int64_t RowGrain(int64_t length) { return (1 << 14) / std::max<int64_t>(1, length) + 1; }

template <class T>
void LayerNormCpu(KernelContext& k) {
  const Rows view(k.input(0).dims(), k.attributes());
  const bool centered = Centered(k.attributes());
  const double epsilon = k.attributes().Float("epsilon");
  const T* x = k.in<T>(0);
  const T* scale = k.has(1) ? k.in<T>(1) : nullptr;
  const T* bias = k.has(2) ? k.in<T>(2) : nullptr;
  T *y = k.out<T>(0), *means = k.out<T>(1), *inverses = k.out<T>(2);
  const int64_t n = view.length;
  const auto count = static_cast<double>(n);
  ParallelFor(view.rows, RowGrain(n), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * n;
      T mean = 0;
      if (centered) {
        mean = static_cast<T>(SumStretches<T>(0, n, [=](int64_t i) { return row[i]; }) / count);
      }
      const double squares =
          SumStretches<T>(0, n, [=](int64_t i) { return (row[i] - mean) * (row[i] - mean); });
      means[r] = mean;
      inverses[r] = static_cast<T>(1 / std::sqrt(squares / count + epsilon));
      NormalizeRow(row, scale, bias, y + r * n, n, mean, inverses[r]);
    }
  });
}

Values DecomposeLayerNorm(const OpCall& call) {
  InferLayerNorm(call);
  const Value x = call.input(0);
  const Dims axes = TrailingAxes(x.spec(), call.attributes());
  const bool centered = Centered(call.attributes());
  const Value mean =
      centered ? Mean(x, axes, true) : ZerosLike(StatisticSpec(x.spec(), call.attributes()));
  const Value deviation = centered ? x - mean : x;
  const Value variance = Mean(Square(deviation), axes, true);
  const Value inverse = 1.0 / Sqrt(variance + call.attributes().Float("epsilon"));
  Value y = deviation * inverse;
  if (call.has(1)) y = y * call.input(1);
  if (call.has(2)) y = y + call.input(2);
  return {y, mean, inverse};
}

Values LayerNormVjp(const VjpCall& call) {
  const Value x = call.input(0);
  const Value mean = call.output(1);
  const Value inverse = call.output(2);
  Values gradients(call.num_inputs());
  const bool centered = Centered(call.attributes());
  if (call.flows(0)) {
    const Value scale = call.has(1) ? call.input(1) : Value();
    const Attributes attributes{{"axis", call.attributes().Int("axis")},
                                {"center", int64_t{centered}}};
    const Values all = ApplyAll("gradwire::LayerNormGrad", {call.dy(), x, mean, inverse, scale},
                                attributes, scale ? 3 : 1);
    for (size_t i = 0; i < gradients.size(); ++i) gradients[i] = all[i];
  }
  const auto add = [&](const Value& gradient) {
    gradients[0] = gradients[0] ? gradients[0] + gradient : gradient;
  };
  const auto count = static_cast<double>(Rows(x.dims(), call.attributes()).length);
  if (call.flows(1) && centered) add(Expand(call.dy(1) / count, x.dims()));
  if (call.flows(2)) add((mean - x) * (call.dy(2) * inverse * inverse * inverse / count));
  return gradients;
}

// dX and, with a scale, dscale and dbias of dY, X, X's statistics, and optionally scale.
Specs InferLayerNormGrad(const OpCall& call) {
  call.RequireSameType(1);
  for (size_t i = 2; i < 4; ++i) call.RequireType(i, ComputeType(call.dtype(0)));
  const TensorSpec& x = call.spec(1);
  const TensorSpec statistic = StatisticSpec(x, call.attributes());
  if (call.spec(0) != x || call.spec(2) != statistic || call.spec(3) != statistic) {
    throw Error(reason::kShapeMismatch,
                fmt::format("dY is {}, X is {}, its statistics are {} and {}: they do not agree",
                            ToString(call.spec(0)), ToString(x), ToString(call.spec(2)),
                            ToString(call.spec(3))));
  }
  if (!call.has(4)) return {x};
  CheckParameter(call, 1, 4);
  return {x, call.spec(4), call.spec(4)};
}

// One row of dX, and what it adds to dscale and dbias.
template <class T>
struct RowGrad {
  const T* scale;
  int64_t n;
  bool centered;

  void Run(const T* dy, const T* x, T mean, T inverse, T* dx) const {
    const auto count = static_cast<double>(n);
    const auto g = [this, dy](int64_t i) { return scale == nullptr ? dy[i] : dy[i] * scale[i]; };
    const auto shift =
        centered ? static_cast<T>(SumStretches<T>(0, n, g) / count) : static_cast<T>(0);
    const double dot =
        SumStretches<T>(0, n, [=](int64_t i) { return g(i) * (x[i] - mean); }) * inverse / count;
    const T slope = static_cast<T>(dot) * inverse;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) dx[i] = inverse * (g(i) - shift - slope * (x[i] - mean));
  }
  void AddTo(double* dscale, double* dbias, const T* dy, const T* x, T mean, T inverse) const {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      dscale[i] += dy[i] * ((x[i] - mean) * inverse);
      dbias[i] += dy[i];
    }
  }
};

// Each part of the rows sums into its own stretch of `sums`, dscale before dbias; this adds them.
template <class T>
void AddParts(const double* sums, int64_t parts, int64_t n, T* dscale, T* dbias) {
  for (int64_t i = 0; i < n; ++i) {
    double scale = 0;
    double bias = 0;
    for (int64_t p = 0; p < parts; ++p) {
      scale += sums[2 * p * n + i];
      bias += sums[(2 * p + 1) * n + i];
    }
    dscale[i] = static_cast<T>(scale);
    dbias[i] = static_cast<T>(bias);
  }
}

template <class T>
void LayerNormGradCpu(KernelContext& k) {
  const Rows view(k.input(1).dims(), k.attributes());
  const int64_t n = view.length;
  const bool scaled = k.has(4);
  const T *dy = k.in<T>(0), *x = k.in<T>(1), *means = k.in<T>(2), *inverses = k.in<T>(3);
  const RowGrad<T> grad{scaled ? k.in<T>(4) : nullptr, n, Centered(k.attributes())};
  T* dx = k.out<T>(0);
  const int64_t wanted = std::min<int64_t>(Threads(), view.rows / RowGrain(n));
  const int64_t parts = std::max<int64_t>(1, wanted);
  const auto bytes = static_cast<size_t>(scaled ? 2 * parts * n : 0) * sizeof(double);
  const BufferPtr scratch = k.Scratch(bytes);
  auto* sums = static_cast<double*>(scratch->data());
  std::fill_n(sums, bytes / sizeof(double), 0.0);
  ParallelFor(parts, 1, [=](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      for (int64_t r = view.rows * p / parts; r < view.rows * (p + 1) / parts; ++r) {
        grad.Run(dy + r * n, x + r * n, means[r], inverses[r], dx + r * n);
        if (!scaled) continue;
        double* own = sums + 2 * p * n;
        grad.AddTo(own, own + n, dy + r * n, x + r * n, means[r], inverses[r]);
      }
    }
  });
  if (scaled) AddParts(sums, parts, n, k.out<T>(1), k.out<T>(2));
}

Values DecomposeLayerNormGrad(const OpCall& call) {
  InferLayerNormGrad(call);
  const Value dy = call.input(0);
  const Value inverse = call.input(3);
  const Dims axes = TrailingAxes(dy.spec(), call.attributes());
  const Value unit = (call.input(1) - call.input(2)) * inverse;
  const Value g = call.has(4) ? dy * call.input(4) : dy;
  Value dx = g - unit * Mean(g * unit, axes, true);
  if (Centered(call.attributes())) dx = dx - Mean(g, axes, true);
  if (!call.has(4)) return {dx * inverse};
  return {dx * inverse, SumTo(dy * unit, call.dims(4)), SumTo(dy, call.dims(4))};
}

// Rows of floats with scale and bias, in oneDNN's terms. It keeps the variance where these rows
// keep 1 / sqrt(variance + epsilon).
struct DnnlRows {
  Dims all, parameter, statistic;

  explicit DnnlRows(const Rows& view)
      : all{view.rows, view.length}, parameter{view.length}, statistic{view.rows} {}

  onednn::Key Key(onednn::Prop prop, float epsilon) const {
    return std::move(onednn::Key(onednn::Kind::layer_normalization, prop).Add(all).Add(epsilon));
  }
  onednn::Argument In(int id, const Dims& dims, const float* data) const {
    return onednn::In(id, onednn::Plain(dims), data);
  }
  onednn::Argument Out(int id, const Dims& dims, float* data) const {
    return onednn::Out(id, onednn::Plain(dims), data);
  }
  dnnl::layer_normalization_forward::primitive_desc Forward(float epsilon) const {
    return onednn::DescribeSame<dnnl::layer_normalization_forward>(
        onednn::Prop::forward_training, onednn::Plain(all), onednn::Plain(statistic), epsilon,
        kFlags);
  }
  dnnl::layer_normalization_backward::primitive_desc Backward(float epsilon) const {
    return onednn::DescribeSameBackward<dnnl::layer_normalization_backward>(
        Forward(epsilon), onednn::Prop::backward, onednn::Plain(all), onednn::Plain(statistic),
        epsilon, kFlags);
  }

  static inline const auto kFlags =
      dnnl::normalization_flags::use_scale | dnnl::normalization_flags::use_shift;
};

// Whether oneDNN's rows are faster: not where there are few elements, or rows are short.
bool SuitsDnnl(const KernelContext& k, const Rows& view, int64_t least) {
  return k.input(0).dtype() == DType::kFloat32 && Centered(k.attributes()) && view.length >= 16 &&
         view.rows * view.length >= least;
}

void DnnlLayerNorm(KernelContext& k, const Rows& view) {
  const DnnlRows rows(view);
  const auto epsilon = static_cast<float>(k.attributes().Float("epsilon"));
  float* inverses = k.out<float>(2);
  onednn::Run(k.stream(), rows.Key(onednn::Prop::forward_training, epsilon),
              {rows.In(DNNL_ARG_SRC, rows.all, k.in<float>(0)),
               rows.In(DNNL_ARG_SCALE, rows.parameter, k.in<float>(1)),
               rows.In(DNNL_ARG_SHIFT, rows.parameter, k.in<float>(2)),
               rows.Out(DNNL_ARG_DST, rows.all, k.out<float>(0)),
               rows.Out(DNNL_ARG_MEAN, rows.statistic, k.out<float>(1)),
               rows.Out(DNNL_ARG_VARIANCE, rows.statistic, inverses)},
              [&] { return rows.Forward(epsilon); });
  for (int64_t r = 0; r < view.rows; ++r) inverses[r] = 1 / std::sqrt(inverses[r] + epsilon);
}

void DnnlLayerNormGrad(KernelContext& k, const Rows& view) {
  const DnnlRows rows(view);
  const BufferPtr scratch = k.Scratch(static_cast<size_t>(view.rows) * sizeof(float));
  auto* variances = static_cast<float*>(scratch->data());  // epsilon included
  const float* inverses = k.in<float>(3);
  for (int64_t r = 0; r < view.rows; ++r) variances[r] = 1 / (inverses[r] * inverses[r]);
  const float* scale = k.in<float>(4);
  onednn::Run(k.stream(), rows.Key(onednn::Prop::backward, 0),
              {rows.In(DNNL_ARG_SRC, rows.all, k.in<float>(1)),
               rows.In(DNNL_ARG_SCALE, rows.parameter, scale),
               rows.In(DNNL_ARG_SHIFT, rows.parameter, scale),  // asked for, not read
               rows.In(DNNL_ARG_DIFF_DST, rows.all, k.in<float>(0)),
               rows.In(DNNL_ARG_MEAN, rows.statistic, k.in<float>(2)),
               rows.In(DNNL_ARG_VARIANCE, rows.statistic, variances),
               rows.Out(DNNL_ARG_DIFF_SRC, rows.all, k.out<float>(0)),
               rows.Out(DNNL_ARG_DIFF_SCALE, rows.parameter, k.out<float>(1)),
               rows.Out(DNNL_ARG_DIFF_SHIFT, rows.parameter, k.out<float>(2))},
              [&] { return rows.Backward(0); });
}

void DispatchLayerNorm(KernelContext& k) {
  const Rows view(k.input(0).dims(), k.attributes());
  if (k.has(1) && k.has(2) && SuitsDnnl(k, view, 1 << 16)) return DnnlLayerNorm(k, view);
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { LayerNormCpu<T>(k); });
}
void DispatchLayerNormGrad(KernelContext& k) {
  const Rows view(k.input(1).dims(), k.attributes());
  if (k.has(4) && SuitsDnnl(k, view, 1 << 13)) return DnnlLayerNormGrad(k, view);
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { LayerNormGradCpu<T>(k); });
}

GRADWIRE_OP({.name = "LayerNorm",
             .domain = "gradwire",
             .inputs = {1, 3},
             .outputs = {1, 3},
             .attributes = {"axis", "center", "epsilon"},
             .infer = InferLayerNorm,
             .cpu = DispatchLayerNorm,
             .decompose = DecomposeLayerNorm,
             .vjp = LayerNormVjp,
             .saves = {.inputs = 0b011, .outputs = 0b110}});
GRADWIRE_OP({.name = "LayerNormGrad",
             .domain = "gradwire",
             .inputs = {4, 5},
             .outputs = {1, 3},
             .attributes = {"axis", "center"},
             .infer = InferLayerNormGrad,
             .cpu = DispatchLayerNormGrad,
             .decompose = DecomposeLayerNormGrad});

}  // namespace
}  // namespace gradwire
