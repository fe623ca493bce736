// Arrays that spectral analysis weighs signals with: HannWindow, HammingWindow, BlackmanWindow,
// MelWeightMatrix. Their inputs are parameters, read during the trace.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "graph/on_host.h"
#include "ops/range.h"

namespace gradwire {
namespace {

DType OutputType(const OpCall& call) {
  const DType dtype = DTypeFromCode(static_cast<int>(call.attributes().Int("output_datatype", 1)));
  if (!(kNumbers | kHalves).Contains(dtype)) {
    throw Error(reason::kDtypeMismatch,
                fmt::format("output_datatype {} is no number", Name(dtype)));
  }
  return dtype;
}

// a0 - a1 cos(x) + a2 cos(2x) over one period.
struct Cosines {
  double a0, a1, a2;
};

Values WindowOf(const OpCall& call, const Cosines& a) {
  const auto size = static_cast<int64_t>(call.Scalar(0));
  if (size < 0) throw Error(reason::kInvalidArgument, fmt::format("size {} is negative", size));
  const auto period =
      static_cast<double>(call.attributes().Int("periodic", 1) != 0 ? size : size - 1);
  const auto number = [](double x) { return Scalar(x, DType::kFloat64); };
  const Value x = Cast(Iota(size), DType::kFloat64) * number(2 * std::numbers::pi / period);
  const Value window = number(a.a0) - number(a.a1) * Cos(x) + number(a.a2) * Cos(number(2) * x);
  return {Cast(window, OutputType(call))};
}

constexpr double kHamming = 25.0 / 46.0;

Values DecomposeHann(const OpCall& call) { return WindowOf(call, {0.5, 0.5, 0}); }
Values DecomposeHamming(const OpCall& call) { return WindowOf(call, {kHamming, 1 - kHamming, 0}); }
Values DecomposeBlackman(const OpCall& call) { return WindowOf(call, {0.42, 0.5, 0.08}); }

OpDef WindowRow(std::string_view name, Decompose decompose) {
  return {.name = name,
          .since = 17,
          .types = kInts,
          .attributes = {"output_datatype", "periodic"},
          .decompose = decompose,
          .differentiable = false};
}

GRADWIRE_OP(WindowRow("HannWindow", DecomposeHann));
GRADWIRE_OP(WindowRow("HammingWindow", DecomposeHamming));
GRADWIRE_OP(WindowRow("BlackmanWindow", DecomposeBlackman));

// ---- MelWeightMatrix

double MelOf(double hertz) { return 2595 * std::log10(1 + hertz / 700); }
double HertzOf(double mel) { return 700 * (std::pow(10.0, mel / 2595) - 1); }

// The spectrogram bins where triangles begin, peak and end: those of two edges and `count` peaks.
// Throws INVALID_ARGUMENT where one is outside [0, rows].
std::vector<int64_t> MelBins(int64_t count, double low, double high, double length, double rate,
                             int64_t rows) {
  const double step = (MelOf(high) - MelOf(low)) / static_cast<double>(count + 2);
  std::vector<int64_t> bins;
  for (int64_t i = 0; i < count + 2; ++i) {
    const double hertz = HertzOf(MelOf(low) + static_cast<double>(i) * step);
    const double bin = std::floor((length + 1) * hertz / rate);
    if (!(bin >= 0 && bin <= static_cast<double>(rows))) {
      throw Error(reason::kInvalidArgument, "the edges lie outside the spectrogram");
    }
    bins.push_back(static_cast<int64_t>(bin));
  }
  return bins;
}

// Inputs num_mel_bins, dft_length, sample_rate, lower_edge_hertz, upper_edge_hertz.
Values DecomposeMelWeights(const OpCall& call) {
  const auto count = static_cast<int64_t>(call.Scalar(0));
  const auto length = static_cast<int64_t>(call.Scalar(1));
  const double rate = call.Scalar(2);
  if (count < 0 || length < 1 || rate <= 0) {
    throw Error(reason::kInvalidArgument,
                fmt::format("{} mel bins, dft_length {}, sample_rate {}", count, length, rate));
  }
  const int64_t rows = length / 2 + 1;
  RequireTable(rows, count);
  const std::vector<int64_t> bins =
      MelBins(count, call.Scalar(3), call.Scalar(4), static_cast<double>(length), rate, rows);
  std::vector<double> weights(static_cast<size_t>(rows * count), 0.0);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t left = bins[size_t(i)];
    const int64_t peak = bins[size_t(i + 1)];
    const int64_t right = bins[size_t(i + 2)];
    for (int64_t row = left; row <= std::min(peak, rows - 1); ++row) {
      weights[size_t(row * count + i)] =
          peak == left ? 1 : static_cast<double>(row - left) / static_cast<double>(peak - left);
    }
    for (int64_t row = peak; row < right; ++row) {
      weights[size_t(row * count + i)] =
          static_cast<double>(right - row) / static_cast<double>(right - peak);
    }
  }
  return {Array({rows, count}, weights, OutputType(call))};
}

GRADWIRE_OP({.name = "MelWeightMatrix",
             .since = 17,
             .inputs = 5,
             .types = kInts,
             .attributes = {"output_datatype"},
             .decompose = DecomposeMelWeights,
             .differentiable = false});

}  // namespace
}  // namespace gradwire
