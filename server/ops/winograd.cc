// An output tile is A^T [(G w G^T) * (B^T x B)] A, over the pixels x under it, where * multiplies
// element by element. Summed over the channels of x these are matrix products, tiles times filters,
// one for each element: each point.
#include "ops/winograd.h"

#include <algorithm>
#include <cstdint>

#include "backend/cpu/dnnl.h"
#include "core/parallel.h"
#include "core/widest.h"
#include "ops/product.h"
#include "ops/winograd_tiles.h"

namespace gradwire {
namespace {

constexpr int kTaps = kWinogradTaps * kWinogradTaps;

// Channels that are transformed together.
constexpr int kLanes = 16;
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));

// About so many tiles are multiplied together: what is made of them stays in the caches.
constexpr int64_t kBlock = 24;
// Multiplications that are worth a thread's wake-up.
constexpr int64_t kGrain = 1 << 16;

[[gnu::always_inline]] inline const Vector& At(const float* channels) {
  return *reinterpret_cast<const Vector*>(channels);
}
[[gnu::always_inline]] inline Vector& At(float* channels) {
  return *reinterpret_cast<Vector*>(channels);
}

double Dot(const WinogradRow& a, double b0, double b1, double b2) {
  return a[0] * b0 + a[1] * b1 + a[2] * b2;
}

// G w G^T, `apart` elements between one point and the next.
template <class Tile>
void TransformFilter(const float* w, float* to, int64_t apart) {
  for (const WinogradRow& row : Tile::kFilter) {
    const WinogradRow half = {Dot(row, w[0], w[3], w[6]), Dot(row, w[1], w[4], w[7]),
                              Dot(row, w[2], w[5], w[8])};
    for (const WinogradRow& column : Tile::kFilter) {
      *to = static_cast<float>(Dot(column, half[0], half[1], half[2]));
      to += apart;
    }
  }
}

// Of `filters` by `channels`, for tiles over `under` pixels: for each point strips (ops/product.h)
// of filters, one row a channel.
struct FilterLayout {
  FilterLayout(const ConvForm& form, int64_t under)
      : points(under * under),
        filters(form.w[0]),
        channels(form.w[1]),
        width(StripWidth<float>()),
        strips((filters + width - 1) / width) {}

  onednn::Desc Description() const { return onednn::Plain(Dims{points, strips, channels, width}); }
  int64_t bytes() const { return StripAt(points, 0) * int64_t{sizeof(float)}; }
  int64_t StripAt(int64_t point, int64_t strip) const {
    return (point * strips + strip) * channels * width;
  }

  int64_t points, filters, channels, width, strips;
};

// Channel by channel: filters of a strip lie next to each other.
template <class Tile>
void TransformFilters(const FilterLayout& layout, const float* w, float* to) {
  ParallelFor(layout.strips, 1, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin * layout.channels; at < end * layout.channels; ++at) {
      const int64_t strip = at / layout.channels;
      const int64_t c = at % layout.channels;
      float* const row = to + layout.StripAt(0, strip) + c * layout.width;
      for (int64_t i = 0; i < layout.width; ++i) {
        constexpr float kNoFilter[kTaps] = {};
        const int64_t filter = strip * layout.width + i;
        const float* const taps = w + (filter * layout.channels + c) * kTaps;
        TransformFilter<Tile>(filter < layout.filters ? taps : kNoFilter, row + i,
                              layout.StripAt(1, 0));
      }
    }
  });
}

// The transformed filter of this call and those after it.
template <class Tile>
BufferPtr FilterOf(KernelContext& context, const FilterLayout& layout) {
  const onednn::Desc description = layout.Description();
  BufferPtr filter = context.packed()->Find(DNNL_ARG_WEIGHTS, description);
  if (filter != nullptr) return filter;
  filter = context.Scratch(description.get_size());
  TransformFilters<Tile>(layout, context.in<float>(1), static_cast<float*>(filter->data()));
  context.packed()->Keep(DNNL_ARG_WEIGHTS, description, filter);
  return filter;
}

template <class Tile>
int64_t TilesAlong(int64_t pixels) {
  return (pixels + Tile::kTile - 1) / Tile::kTile;
}
template <class Tile>
int64_t NumTiles(const ConvForm& form) {
  return form.y[0] * TilesAlong<Tile>(form.y[2]) * TilesAlong<Tile>(form.y[3]);
}

// A convolution of images [n, rows, columns, channels].
template <class Tile>
class Convolution {
 public:
  Convolution(KernelContext& context, const ConvForm& form, const FilterLayout& layout,
              const float* filter)
      : form_(form),
        layout_(layout),
        filter_(filter),
        x_(context.in<float>(0)),
        y_(context.out<float>(0)),
        across_(TilesAlong<Tile>(form.y[3])),
        down_(TilesAlong<Tile>(form.y[2])),
        tiles_(NumTiles<Tile>(form)) {
    const int64_t work = tiles_ * kPoints * layout.filters * layout.channels;
    const int64_t threads = std::clamp<int64_t>(work / kGrain, 1, Threads());
    tile_parts_ = std::clamp<int64_t>(tiles_ / kBlock, 1, threads);
    const int64_t most_tiles = (tiles_ + tile_parts_ - 1) / tile_parts_;
    blocks_ = std::max<int64_t>(1, (most_tiles + kBlock / 2) / kBlock);
    most_together_ = (most_tiles + blocks_ - 1) / blocks_;
    strip_parts_ = std::clamp<int64_t>(threads / tile_parts_, 1, layout.strips);
    const int64_t most_strips = (layout.strips + strip_parts_ - 1) / strip_parts_;
    per_part_ = kPoints * most_together_ * (layout.channels + most_strips * layout.width);
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
  static constexpr int kTile = Tile::kTile;
  static constexpr int kUnder = Tile::kUnder;
  static constexpr int kPoints = kUnder * kUnder;

  // Some tiles, and of them the channels of some strips.
  struct Piece {
    int64_t tile, tiles;
    int64_t strip, strips;
    float* pixels;    // [kPoints, most_together_, channels of x]
    float* products;  // [kPoints, most_together_, channels of the strips]
  };

  [[gnu::always_inline]] void RunPart(int64_t tile_part, int64_t strip_part, int64_t at) const {
    const int64_t end = tiles_ * (tile_part + 1) / tile_parts_;
    Piece piece;
    piece.tile = tiles_ * tile_part / tile_parts_;
    piece.strip = layout_.strips * strip_part / strip_parts_;
    piece.strips = layout_.strips * (strip_part + 1) / strip_parts_ - piece.strip;
    piece.pixels = parts_ + at;
    piece.products = piece.pixels + kPoints * most_together_ * layout_.channels;
    for (int64_t blocks = blocks_; blocks > 0; --blocks) {
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
        TransformUnder(pixels, c, to, most_together_ * layout_.channels);
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
      Tile::Input(column, transformed);
#pragma GCC unroll 6
      for (int i = 0; i < kUnder; ++i) half[i][j] = transformed[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < kUnder; ++i) {
      Vector transformed[kUnder];
      Tile::Input(half[i], transformed);
#pragma GCC unroll 6
      for (int j = 0; j < kUnder; ++j) At(to + (i * kUnder + j) * apart) = transformed[j];
    }
  }

  int64_t RowOf(const Piece& piece) const { return piece.strips * layout_.width; }

  void Multiply(const Piece& piece) const {
    const int64_t row = RowOf(piece);
    for (int64_t point = 0; point < kPoints; ++point) {
      const float* const pixels = piece.pixels + point * most_together_ * layout_.channels;
      float* const products = piece.products + point * most_together_ * row;
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
        TransformTile(piece.products + i * row + c, most_together_ * row, place, first + c);
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
      Tile::Output(column, transformed);
#pragma GCC unroll 6
      for (int i = 0; i < kTile; ++i) half[i][j] = transformed[i];
    }
    const Vector bias = At(bias_ + channel);
    const int64_t rows = std::min<int64_t>(kTile, form_.y[2] - place.row);
    const int64_t columns = std::min<int64_t>(kTile, form_.y[3] - place.column);
    for (int64_t i = 0; i < rows; ++i) {
      Vector transformed[kTile];
      Tile::Output(half[i], transformed);
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
  int64_t blocks_, most_together_;       // of a part's tiles; tiles in one
  int64_t per_part_;                     // elements that a part works in
  BufferPtr scratch_;
  const float* zeros_;
  float* parts_;
  const float* bias_;
};

// Enough tiles to repay a filter that is larger, whose bytes are all read, and most of each inside.
template <class Tile>
bool IsWorth(const ConvForm& form) {
  constexpr int64_t kFewTiles = Tile::kTile == 4 ? 24 : 16;
  const int64_t tiles = NumTiles<Tile>(form);
  return tiles >= kFewTiles &&
         tiles * Tile::kTile * Tile::kTile <= 2 * form.y[0] * form.y[2] * form.y[3];
}

template <class Tile>
void ConvBy(KernelContext& context, const ConvForm& form) {
  const FilterLayout layout(form, Tile::kUnder);
  const BufferPtr filter = FilterOf<Tile>(context, layout);
  Convolution<Tile>(context, form, layout, static_cast<const float*>(filter->data())).Run();
}

}  // namespace

int64_t WinogradBytes(const ConvForm& form) {
  if (form.window.kernel != Dims{kWinogradTaps, kWinogradTaps} || !form.IsDense() ||
      form.groups != 1 || form.w[0] % kLanes != 0 || form.w[1] % kLanes != 0) {
    return 0;
  }
  const int under = IsWorth<Tile4>(form) ? Tile4::kUnder : IsWorth<Tile2>(form) ? Tile2::kUnder : 0;
  return FilterLayout(form, under).bytes();
}

void ConvByWinograd(KernelContext& context, const ConvForm& form) {
  IsWorth<Tile4>(form) ? ConvBy<Tile4>(context, form) : ConvBy<Tile2>(context, form);
}

}  // namespace gradwire
