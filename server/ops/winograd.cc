// An output tile of 4 x 4 is A^T [(G w G^T) * (B^T x B)] A, over the 6 x 6 pixels x under it, where
// * multiplies element by element: 36 multiplications for each pair of channels, for 144. Summed
// over the channels of x they are 36 matrix products, tiles times filters.
//
// The matrices are Toom and Cook's for the points 0, a, -a, b, -b and infinity. With a = 5/8 and
// b = 3/2 the result is about twice as far from the exact one as a direct convolution's; with 1 and
// 2, as often seen, several times.
#include "ops/winograd.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "backend/cpu/dnnl.h"
#include "core/parallel.h"
#include "core/widest.h"
#include "ops/product.h"

namespace gradwire {
namespace {

// Along one side: taps of the filter, pixels of an output tile, and of the input under it.
constexpr int kTaps = 3;
constexpr int kTile = 4;
constexpr int kUnder = kTile + kTaps - 1;
constexpr int kPoints = kUnder * kUnder;

constexpr float kA = 0.625f;
constexpr float kB = 1.5f;
constexpr float kA2 = kA * kA;
constexpr float kB2 = kB * kB;

// Channels that are transformed together.
constexpr int kLanes = 16;
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));

// Tiles that are multiplied together: what is made of them stays in the caches.
constexpr int64_t kBlock = 24;
// Fewer tiles do not repay reading a filter that is four times as large.
constexpr int64_t kFewTiles = 8;
// Multiplications that are worth a thread's wake-up.
constexpr int64_t kGrain = 1 << 16;

[[gnu::always_inline]] inline const Vector& At(const float* channels) {
  return *reinterpret_cast<const Vector*>(channels);
}
[[gnu::always_inline]] inline Vector& At(float* channels) {
  return *reinterpret_cast<Vector*>(channels);
}

// out = B^T d.
[[gnu::always_inline]] inline void TransformInput(const Vector* d, Vector* out) {
  const Vector even_a = d[4] - kB2 * d[2];
  const Vector odd_a = kA * (d[3] - kB2 * d[1]);
  const Vector even_b = d[4] - kA2 * d[2];
  const Vector odd_b = kB * (d[3] - kA2 * d[1]);
  out[0] = kA2 * kB2 * d[0] - (kA2 + kB2) * d[2] + d[4];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = kA2 * kB2 * d[1] - (kA2 + kB2) * d[3] + d[5];
}

// out = A^T m.
[[gnu::always_inline]] inline void TransformOutput(const Vector* m, Vector* out) {
  const Vector even_a = m[1] + m[2];
  const Vector odd_a = m[1] - m[2];
  const Vector even_b = m[3] + m[4];
  const Vector odd_b = m[3] - m[4];
  out[0] = m[0] + even_a + even_b;
  out[1] = kA * odd_a + kB * odd_b;
  out[2] = kA2 * even_a + kB2 * even_b;
  out[3] = kA2 * kA * odd_a + kB2 * kB * odd_b + m[5];
}

// G: its rows are [1, p, p^2] over the product of p's distances to the other finite points.
using FilterRow = std::array<double, kTaps>;
constexpr std::array<FilterRow, kUnder> FilterMatrix() {
  constexpr double kA4 = 2.0 * kA2 * (kA2 - kB2);
  constexpr double kB4 = 2.0 * kB2 * (kB2 - kA2);
  const auto row = [](double p, double n) { return FilterRow{1 / n, p / n, p * p / n}; };
  return {row(0, double{kA2} * kB2), row(kA, kA4), row(-kA, kA4), row(kB, kB4), row(-kB, kB4),
          FilterRow{0, 0, 1}};
}

double Dot(const FilterRow& a, double b0, double b1, double b2) {
  return a[0] * b0 + a[1] * b1 + a[2] * b2;
}

// G w G^T, `apart` elements between one point and the next.
void TransformFilter(const float* w, float* to, int64_t apart) {
  static constexpr std::array<FilterRow, kUnder> kG = FilterMatrix();
  for (const FilterRow& row : kG) {
    const FilterRow half = {Dot(row, w[0], w[3], w[6]), Dot(row, w[1], w[4], w[7]),
                            Dot(row, w[2], w[5], w[8])};
    for (const FilterRow& column : kG) {
      *to = static_cast<float>(Dot(column, half[0], half[1], half[2]));
      to += apart;
    }
  }
}

// Of `filters` by `channels`: for each point strips (ops/product.h) of filters, one row a channel.
struct FilterLayout {
  explicit FilterLayout(const ConvForm& form)
      : filters(form.w[0]),
        channels(form.w[1]),
        width(StripWidth<float>()),
        strips((filters + width - 1) / width) {}

  onednn::Desc Description() const { return onednn::Plain(Dims{kPoints, strips, channels, width}); }
  int64_t StripAt(int64_t point, int64_t strip) const {
    return (point * strips + strip) * channels * width;
  }

  int64_t filters, channels, width, strips;
};

void TransformFilters(const FilterLayout& layout, const float* w, float* to) {
  ParallelFor(layout.strips * layout.width, 1, [&](int64_t begin, int64_t end) {
    for (int64_t filter = begin; filter < end; ++filter) {
      float* const column = to + layout.StripAt(0, filter / layout.width) + filter % layout.width;
      constexpr float kNoFilter[kTaps * kTaps] = {};
      for (int64_t c = 0; c < layout.channels; ++c) {
        const bool has = filter < layout.filters;
        TransformFilter(has ? w + (filter * layout.channels + c) * kTaps * kTaps : kNoFilter,
                        column + c * layout.width, layout.StripAt(1, 0));
      }
    }
  });
}

// The transformed filter of this call and those after it.
BufferPtr FilterOf(KernelContext& context, const FilterLayout& layout) {
  const onednn::Desc description = layout.Description();
  BufferPtr filter = context.packed()->Find(DNNL_ARG_WEIGHTS, description);
  if (filter != nullptr) return filter;
  filter = context.Scratch(description.get_size());
  TransformFilters(layout, context.in<float>(1), static_cast<float*>(filter->data()));
  context.packed()->Keep(DNNL_ARG_WEIGHTS, description, filter);
  return filter;
}

int64_t TilesAlong(int64_t pixels) { return (pixels + kTile - 1) / kTile; }
int64_t NumTiles(const ConvForm& form) {
  return form.y[0] * TilesAlong(form.y[2]) * TilesAlong(form.y[3]);
}

// A convolution of images [n, rows, columns, channels].
class Convolution {
 public:
  Convolution(KernelContext& context, const ConvForm& form, const FilterLayout& layout,
              const float* filter)
      : form_(form),
        layout_(layout),
        filter_(filter),
        x_(context.in<float>(0)),
        y_(context.out<float>(0)),
        across_(TilesAlong(form.y[3])),
        down_(TilesAlong(form.y[2])),
        tiles_(NumTiles(form)) {
    const int64_t work = tiles_ * kPoints * layout.filters * layout.channels;
    const int64_t threads = std::clamp<int64_t>(work / kGrain, 1, Threads());
    tile_parts_ = std::clamp<int64_t>(tiles_ / kBlock, 1, threads);
    strip_parts_ = std::clamp<int64_t>(threads / tile_parts_, 1, layout.strips);
    const int64_t most_strips = (layout.strips + strip_parts_ - 1) / strip_parts_;
    per_part_ = kPoints * kBlock * (layout.channels + most_strips * layout.width);
    const int64_t zeros = std::max(layout.channels, layout.filters);
    scratch_ = context.Scratch(static_cast<size_t>(zeros + tile_parts_ * strip_parts_ * per_part_) *
                               sizeof(float));
    auto* const scratch = static_cast<float*>(scratch_->data());
    std::fill_n(scratch, zeros, 0.0f);
    zeros_ = scratch;
    parts_ = scratch + zeros;
    bias_ = context.has(2) ? context.in<float>(2) : zeros_;
  }

  void Run() const {
    ParallelFor(tile_parts_ * strip_parts_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) {
        RunWidest([&] { RunPart(part / strip_parts_, part % strip_parts_, part * per_part_); });
      }
    });
  }

 private:
  // Some tiles, and of them the channels of some strips.
  struct Piece {
    int64_t tile, tiles;
    int64_t strip, strips;
    float* pixels;    // [kPoints, kBlock, channels of x]
    float* products;  // [kPoints, kBlock, channels of the strips]
  };

  [[gnu::always_inline]] void RunPart(int64_t tile_part, int64_t strip_part, int64_t at) const {
    const int64_t end = tiles_ * (tile_part + 1) / tile_parts_;
    Piece piece;
    piece.tile = tiles_ * tile_part / tile_parts_;
    piece.strip = layout_.strips * strip_part / strip_parts_;
    piece.strips = layout_.strips * (strip_part + 1) / strip_parts_ - piece.strip;
    piece.pixels = parts_ + at;
    piece.products = piece.pixels + kPoints * kBlock * layout_.channels;
    for (int64_t blocks = (end - piece.tile + kBlock - 1) / kBlock; blocks > 0; --blocks) {
      piece.tiles = (end - piece.tile) / blocks;
      TransformInputs(piece);
      Multiply(piece);
      TransformOutputs(piece);
      piece.tile += piece.tiles;
    }
  }

  struct Place {
    int64_t image, row, column;  // of the tile's first pixel, in y
  };
  Place PlaceOf(int64_t tile) const {
    return {tile / across_ / down_, tile / across_ % down_ * kTile, tile % across_ * kTile};
  }

  // The channels of the pixels under a tile; zeros where there is no pixel.
  void PixelsUnder(int64_t tile, const float** pixels) const {
    const Place place = PlaceOf(tile);
    const int64_t top = place.row - form_.window.begin[0];
    const int64_t left = place.column - form_.window.begin[1];
    for (int64_t row = top; row < top + kUnder; ++row) {
      for (int64_t column = left; column < left + kUnder; ++column) {
        const bool inside = row >= 0 && row < form_.x[2] && column >= 0 && column < form_.x[3];
        const int64_t pixel = (place.image * form_.x[2] + row) * form_.x[3] + column;
        *pixels++ = inside ? x_ + pixel * layout_.channels : zeros_;
      }
    }
  }

  [[gnu::always_inline]] void TransformInputs(const Piece& piece) const {
    for (int64_t i = 0; i < piece.tiles; ++i) {
      const float* pixels[kPoints];
      PixelsUnder(piece.tile + i, pixels);
      for (int64_t c = 0; c < layout_.channels; c += kLanes) {
        float* const to = piece.pixels + i * layout_.channels + c;
        TransformUnder(pixels, c, to, kBlock * layout_.channels);
      }
    }
  }

  // B^T x B of some channels.
  [[gnu::always_inline]] static void TransformUnder(const float* const* pixels, int64_t channel,
                                                    float* to, int64_t apart) {
    Vector half[kUnder][kUnder];
#pragma GCC unroll 6
    for (int j = 0; j < kUnder; ++j) {
      Vector column[kUnder];
      Vector transformed[kUnder];
#pragma GCC unroll 6
      for (int i = 0; i < kUnder; ++i) column[i] = At(pixels[i * kUnder + j] + channel);
      TransformInput(column, transformed);
#pragma GCC unroll 6
      for (int i = 0; i < kUnder; ++i) half[i][j] = transformed[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < kUnder; ++i) {
      Vector transformed[kUnder];
      TransformInput(half[i], transformed);
#pragma GCC unroll 6
      for (int j = 0; j < kUnder; ++j) At(to + (i * kUnder + j) * apart) = transformed[j];
    }
  }

  int64_t RowOf(const Piece& piece) const { return piece.strips * layout_.width; }

  void Multiply(const Piece& piece) const {
    const int64_t row = RowOf(piece);
    for (int64_t point = 0; point < kPoints; ++point) {
      const float* const pixels = piece.pixels + point * kBlock * layout_.channels;
      float* const products = piece.products + point * kBlock * row;
      for (int64_t i = 0; i < piece.strips; ++i) {
        MultiplyByStrip(pixels, layout_.channels, piece.tiles,
                        filter_ + layout_.StripAt(point, piece.strip + i), layout_.channels,
                        products + i * layout_.width, row);
      }
    }
  }

  [[gnu::always_inline]] void TransformOutputs(const Piece& piece) const {
    const int64_t row = RowOf(piece);
    const int64_t first = piece.strip * layout_.width;
    const int64_t count = std::min(row, layout_.filters - first);
    for (int64_t i = 0; i < piece.tiles; ++i) {
      const Place place = PlaceOf(piece.tile + i);
      for (int64_t c = 0; c < count; c += kLanes) {
        TransformTile(piece.products + i * row + c, kBlock * row, place, first + c);
      }
    }
  }

  // A^T m A and the bias, of some channels, as far as the image goes.
  [[gnu::always_inline]] void TransformTile(const float* products, int64_t apart,
                                            const Place& place, int64_t channel) const {
    Vector half[kTile][kUnder];
#pragma GCC unroll 6
    for (int j = 0; j < kUnder; ++j) {
      Vector column[kUnder];
      Vector transformed[kTile];
#pragma GCC unroll 6
      for (int i = 0; i < kUnder; ++i) column[i] = At(products + (i * kUnder + j) * apart);
      TransformOutput(column, transformed);
#pragma GCC unroll 6
      for (int i = 0; i < kTile; ++i) half[i][j] = transformed[i];
    }
    const Vector bias = At(bias_ + channel);
    const int64_t rows = std::min<int64_t>(kTile, form_.y[2] - place.row);
    const int64_t columns = std::min<int64_t>(kTile, form_.y[3] - place.column);
    for (int64_t i = 0; i < rows; ++i) {
      Vector transformed[kTile];
      TransformOutput(half[i], transformed);
      const int64_t pixel = (place.image * form_.y[2] + place.row + i) * form_.y[3] + place.column;
      for (int64_t j = 0; j < columns; ++j) {
        At(y_ + (pixel + j) * layout_.filters + channel) = transformed[j] + bias;
      }
    }
  }

  const ConvForm& form_;
  const FilterLayout& layout_;
  const float* const filter_;
  const float* const x_;
  float* const y_;
  const int64_t across_, down_, tiles_;  // tiles in a row of an image, in a column, in all
  int64_t tile_parts_, strip_parts_;     // how the work is divided
  int64_t per_part_;                     // elements that a part works in
  BufferPtr scratch_;
  const float* zeros_;
  float* parts_;
  const float* bias_;
};

bool AllOne(const Dims& dims) {
  return std::all_of(dims.begin(), dims.end(), [](int64_t d) { return d == 1; });
}

}  // namespace

bool SuitsWinograd(const ConvForm& form) {
  const Window& window = form.window;
  if (window.kernel != Dims{kTaps, kTaps} || !AllOne(window.strides) || !AllOne(window.dilations) ||
      form.groups != 1 || form.w[0] % kLanes != 0 || form.w[1] % kLanes != 0) {
    return false;
  }
  const int64_t pixels = form.y[0] * form.y[2] * form.y[3];
  const int64_t tiles = NumTiles(form);
  return tiles >= kFewTiles && tiles * kTile * kTile <= 2 * pixels;
}

void ConvByWinograd(KernelContext& context, const ConvForm& form) {
  const FilterLayout layout(form);
  const BufferPtr filter = FilterOf(context, layout);
  Convolution(context, form, layout, static_cast<const float*>(filter->data())).Run();
}

}  // namespace gradwire
