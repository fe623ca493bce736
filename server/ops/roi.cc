// RoiAlign and MaxRoiPool: pooling of rectangles of images to one size.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ops/range.h"
#include "ops/sampling.h"

namespace gradwire {
namespace {

// x [N,C,H,W] as rows of C elements, one for each pixel of each image: [N*H*W, C].
Value PixelRows(const Value& x) {
  const Dims& dims = x.dims();
  return Reshape(Transpose(x, {0, 2, 3, 1}), {dims[0] * dims[2] * dims[3], dims[1]});
}

// y [R*h*w, C] as [R,C,h,w].
Value RoisOfRows(const Value& y, int64_t rois, int64_t height, int64_t width) {
  return Transpose(Reshape(y, {rois, height, width, y.dims().back()}), {0, 3, 1, 2});
}

// ---- RoiAlign

// Along one axis of the image: which of its columns bound the regions, and into how many bins they
// are cut.
struct RoiAxis {
  int64_t extent;
  int64_t first_column;  // of rois: where it starts; two further, where it ends
  int64_t bins;
};

// Samples of each bin of each region along one axis, [R, bins, samples]; a bin takes `taken` of
// them, [R, 1, 1], and those beyond repeat its last.
struct RoiSamples {
  Value low, high;                // the pixels beside each sample
  Value low_weight, high_weight;  // 0 where the sample lies outside the image
  Value taken;
  Value counts;  // 1 where the sample is one of the bin's, 0 where it repeats
};

class RoiAligner {
 public:
  explicit RoiAligner(const OpCall& call)
      : call_(call),
        scale_(call.attributes().Float("spatial_scale", 1)),
        sampling_(call.attributes().Int("sampling_ratio", 0)),
        half_pixel_(call.op().since >= 16 &&
                    call.attributes().String("coordinate_transformation_mode", "half_pixel") ==
                        "half_pixel") {}

  RoiSamples SamplesAlong(const RoiAxis& axis) const {
    const DType dtype = call_.dtype(1);
    const Value start = Column(axis.first_column) * scale_ - (half_pixel_ ? 0.5 : 0.0);
    const Value end = Column(axis.first_column + 2) * scale_ - (half_pixel_ ? 0.5 : 0.0);
    Value size = end - start;
    if (!half_pixel_) size = Call("Max", {size, Scalar(1, dtype)});
    const Value bin = size / static_cast<double>(axis.bins);

    RoiSamples samples;
    samples.taken = sampling_ > 0 ? Full({call_.dims(1)[0], 1, 1}, double(sampling_), dtype)
                                  : Call("Max", {Call("Ceil", {bin}), Scalar(0, dtype)});
    const Value each = Cast(IotaAlong(2, 3, MostOf(samples.taken)), dtype);
    samples.counts = Mask(Less(each, samples.taken), dtype);
    const Value divisor = Call("Max", {samples.taken, Scalar(1, dtype)});
    const Value nth = Call("Min", {each, divisor - 1.0});
    const Value place =
        start + Cast(IotaAlong(1, 3, axis.bins), dtype) * bin + (nth + 0.5) * bin / divisor;
    Locate(place, axis.extent, samples);
    return samples;
  }

 private:
  Value Column(int64_t column) const {
    return Reshape(Slice(call_.input(1), {column}, {column + 1}, {1}, {1}),
                   {call_.dims(1)[0], 1, 1});
  }

  // The greatest number of samples that a bin takes: it decides a shape.
  int64_t MostOf(const Value& taken) const {
    if (sampling_ > 0) return sampling_;
    const Values inputs{taken};
    int64_t most = 1;
    for (const double n : OpCall(call_.op(), inputs, call_.attributes(), 1).Numbers(0)) {
      if (n > kMostSamples) {
        throw Error(reason::kInvalidArgument, fmt::format("a region's bins have {} pixels", n));
      }
      if (n > static_cast<double>(most)) most = static_cast<int64_t>(n);
    }
    return most;
  }

  static void Locate(const Value& place, int64_t extent, RoiSamples& samples) {
    const DType dtype = place.dtype();
    const Value zero = Scalar(0, dtype);
    const Value last = Scalar(static_cast<double>(extent - 1), dtype);
    const Value inside = And(GreaterOrEqual(place, Scalar(-1, dtype)),
                             LessOrEqual(place, Scalar(static_cast<double>(extent), dtype)));
    const Value at = Where(inside, Call("Min", {Call("Max", {place, zero}), last}), zero);
    const Value low = Call("Floor", {at});
    samples.low = Cast(low, DType::kInt64);
    samples.high = Cast(Call("Min", {low + 1.0, last}), DType::kInt64);
    samples.high_weight = Where(inside, at - low, zero);
    samples.low_weight = Where(inside, 1.0 - (at - low), zero);
  }

  static constexpr double kMostSamples = 4096;

  const OpCall& call_;
  double scale_;
  int64_t sampling_;
  bool half_pixel_;
};

void CheckRois(const OpCall& call, int64_t columns) {
  const bool fits = call.rank(0) == 4 && call.rank(1) == 2 && call.dims(1)[1] == columns &&
                    call.dims(0)[2] > 0 && call.dims(0)[3] > 0 &&
                    (!call.has(2) || call.dims(2) == Dims{call.dims(1)[0]});
  call.RequireSameType(1);
  if (fits) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("X is {}, rois is {}: [N,C,H,W] and [R,{}] are expected, and an image's "
                          "number for each region",
                          ToString(call.spec(0)), ToString(call.spec(1)), columns));
}

// Of what two axes have, [R,h,s] and [R,w,t], every pair: [R, h*w, s*t].
template <class F>
Value Pairs(const Value& rows, const Value& columns, F&& combine) {
  const Dims& a = rows.dims();
  const Dims& b = columns.dims();
  const Value pairs =
      combine(Reshape(rows, {a[0], a[1], 1, a[2], 1}), Reshape(columns, {b[0], 1, b[1], 1, b[2]}));
  return Reshape(pairs, {1, a[0] * a[1] * b[1], a[2] * b[2]});
}

Values DecomposeRoiAlign(const OpCall& call) {
  CheckRois(call, 4);
  const Dims& dims = call.dims(0);
  const int64_t height = call.attributes().Int("output_height", 1);
  const int64_t width = call.attributes().Int("output_width", 1);
  const std::string mode = call.attributes().String("mode", "avg");
  if (height < 1 || width < 1 || (mode != "avg" && mode != "max")) {
    throw Error(reason::kInvalidArgument,
                fmt::format("mode '{}' with an output of {} by {}", mode, height, width));
  }
  const RoiAligner aligner(call);
  const RoiSamples y = aligner.SamplesAlong({dims[2], 1, height});
  const RoiSamples x = aligner.SamplesAlong({dims[3], 0, width});

  const int64_t rois = call.dims(1)[0];
  const Value image = Reshape(Cast(call.input(2), DType::kInt64), {rois, 1, 1, 1, 1}) *
                      Scalar(static_cast<double>(dims[2] * dims[3]), DType::kInt64);
  const auto pixel = [&](const Value& row, const Value& column) {
    return Pairs(row, column, [&](const Value& a, const Value& b) {
      return image + a * Scalar(static_cast<double>(dims[3]), DType::kInt64) + b;
    });
  };
  const auto product = [](const Value& a, const Value& b) {
    return Pairs(a, b, [](const Value& row, const Value& column) { return row * column; });
  };
  const Value index = Concat(
      {pixel(y.low, x.low), pixel(y.low, x.high), pixel(y.high, x.low), pixel(y.high, x.high)}, 2);
  // A region without samples gives 0, one with several their mean or maximum.
  const bool mean = mode == "avg";
  const auto share = [mean](const RoiSamples& s) {
    const Value divisor = Call("Max", {s.taken, Scalar(1, s.taken.dtype())});
    return mean ? s.counts / divisor : Call("Min", {s.taken, Scalar(1, s.taken.dtype())});
  };
  const Value ys = share(y);
  const Value xs = share(x);
  const Value weight = Concat({product(y.low_weight * ys, x.low_weight * xs),
                               product(y.low_weight * ys, x.high_weight * xs),
                               product(y.high_weight * ys, x.low_weight * xs),
                               product(y.high_weight * ys, x.high_weight * xs)},
                              2);
  const Value pixels = PixelRows(call.input(0));
  if (mean) {
    const Value sums = Call("gradwire::TapGather", {Unsqueeze(pixels, {0}), index, weight});
    return {RoisOfRows(sums, rois, height, width)};
  }
  const Dims taps{index.dims()[1], index.dims()[2]};
  const Value seen =
      Call("Gather", {pixels, Reshape(index, taps)}) * Reshape(weight, {taps[0], taps[1], 1});
  return {RoisOfRows(Max(seen, {1}, /*keepdims=*/false), rois, height, width)};
}

GRADWIRE_OP({.name = "RoiAlign",
             .since = 10,
             .inputs = 3,
             .attributes = {"mode", "output_height", "output_width", "sampling_ratio",
                            "spatial_scale"},
             .decompose = DecomposeRoiAlign});
GRADWIRE_OP({.name = "RoiAlign",
             .since = 16,
             .inputs = 3,
             .attributes = {"coordinate_transformation_mode", "mode", "output_height",
                            "output_width", "sampling_ratio", "spatial_scale"},
             .decompose = DecomposeRoiAlign});

// ---- MaxRoiPool (X, rois [R,5]: image, x1, y1, x2, y2). Regions choose pixels, so they are read
// during the trace.

struct Interval {
  int64_t begin, end;
};

// Bin `bin` of `bins` of the pixels from `first` to `last`, both included.
Interval BinOf(int64_t first, int64_t last, int64_t bin, int64_t bins, int64_t extent) {
  const double size =
      static_cast<double>(std::max<int64_t>(last - first + 1, 1)) / static_cast<double>(bins);
  const auto begin = static_cast<int64_t>(std::floor(static_cast<double>(bin) * size));
  const auto end = static_cast<int64_t>(std::ceil(static_cast<double>(bin + 1) * size));
  return {std::clamp<int64_t>(begin + first, 0, extent),
          std::clamp<int64_t>(end + first, 0, extent)};
}

std::vector<double> PixelsOf(const Interval& rows, const Interval& columns, int64_t width,
                             int64_t image_start) {
  std::vector<double> pixels;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    for (int64_t column = columns.begin; column < columns.end; ++column) {
      pixels.push_back(static_cast<double>(image_start + row * width + column));
    }
  }
  return pixels;
}

Values DecomposeMaxRoiPool(const OpCall& call) {
  CheckRois(call, 5);
  const Dims& dims = call.dims(0);
  const std::vector<int64_t>& pooled = call.attributes().Ints("pooled_shape");
  if (pooled.size() != 2 || pooled[0] < 1 || pooled[1] < 1) {
    throw Error(reason::kInvalidArgument, fmt::format("pooled_shape is {}", ToString(pooled)));
  }
  const double scale = call.attributes().Float("spatial_scale", 1);
  const std::vector<double> rois = call.Numbers(1);
  std::vector<std::vector<double>> bins;
  size_t most = 1;
  for (size_t r = 0; r < rois.size(); r += 5) {
    const auto image = static_cast<int64_t>(rois[r]);
    if (image < 0 || image >= dims[0]) {
      throw Error(reason::kInvalidArgument, fmt::format("there is no image {}", image));
    }
    const auto corner = [&](size_t i) { return std::llround(rois[r + i] * scale); };
    for (int64_t h = 0; h < pooled[0]; ++h) {
      for (int64_t w = 0; w < pooled[1]; ++w) {
        bins.push_back(PixelsOf(BinOf(corner(2), corner(4), h, pooled[0], dims[2]),
                                BinOf(corner(1), corner(3), w, pooled[1], dims[3]), dims[3],
                                image * dims[2] * dims[3]));
        most = std::max(most, bins.back().size());
      }
    }
  }
  std::vector<double> indices;
  std::vector<double> filled;
  for (const std::vector<double>& bin : bins) {
    filled.push_back(bin.empty() ? 0 : 1);
    for (size_t i = 0; i < most; ++i) {
      indices.push_back(bin.empty() ? 0 : bin[std::min(i, bin.size() - 1)]);
    }
  }
  const auto count = static_cast<int64_t>(bins.size());
  const Value index = Array({count, static_cast<int64_t>(most)}, indices, DType::kInt64);
  const Value highest = Max(Call("Gather", {PixelRows(call.input(0)), index}), {1}, false);
  const Value rows =
      Where(Array({count, 1}, filled, DType::kBool), highest, Scalar(0, call.dtype(0)));
  return {RoisOfRows(rows, call.dims(1)[0], pooled[0], pooled[1])};
}

GRADWIRE_OP({.name = "MaxRoiPool",
             .inputs = 2,
             .attributes = {"pooled_shape", "spatial_scale"},
             .decompose = DecomposeMaxRoiPool});

}  // namespace
}  // namespace gradwire
