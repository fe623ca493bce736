// The transforms of Winograd's convolutions F(t x t, 3 x 3), along one side: of `kUnder` pixels
// that lie under a tile of `kTile`, and of products to the tile. Toom and Cook's matrices B^T, A^T
// and G for the points that a tile names, and infinity; see winograd.cc.
#ifndef GRADWIRE_OPS_WINOGRAD_TILES_H_
#define GRADWIRE_OPS_WINOGRAD_TILES_H_

#include <array>
#include <cstddef>

namespace gradwire {

inline constexpr int kWinogradTaps = 3;
using WinogradRow = std::array<double, kWinogradTaps>;

// G, of n finite points: rows are [1, p, p^2] over the product of p's distances to the others.
template <size_t n>
constexpr std::array<WinogradRow, n + 1> FilterMatrix(const std::array<double, n>& points) {
  std::array<WinogradRow, n + 1> rows = {};
  for (size_t i = 0; i < n; ++i) {
    const double p = points[i];
    double distances = 1;
    for (size_t j = 0; j < n; ++j) distances *= j == i ? 1 : p - points[j];
    rows[i] = {1 / distances, p / distances, p * p / distances};
  }
  rows[n] = {0, 0, 1};
  return rows;
}

// 36 multiplications for 16 pixels of 9 taps. With these points the result is about twice as far
// from the exact one as a direct convolution's; with 1 and 2, as often seen, several times.
struct Tile4 {
  static constexpr int kTile = 4;
  static constexpr int kUnder = kTile + kWinogradTaps - 1;
  static constexpr float kA = 0.625f;
  static constexpr float kB = 1.5f;
  static constexpr float kA2 = kA * kA;
  static constexpr float kB2 = kB * kB;
  static constexpr auto kFilter = FilterMatrix(std::array<double, 5>{0, kA, -kA, kB, -kB});

  template <class Vector>
  [[gnu::always_inline]] static inline void Input(const Vector* d, Vector* out) {
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

  template <class Vector>
  [[gnu::always_inline]] static inline void Output(const Vector* m, Vector* out) {
    const Vector even_a = m[1] + m[2];
    const Vector odd_a = m[1] - m[2];
    const Vector even_b = m[3] + m[4];
    const Vector odd_b = m[3] - m[4];
    out[0] = m[0] + even_a + even_b;
    out[1] = kA * odd_a + kB * odd_b;
    out[2] = kA2 * even_a + kB2 * even_b;
    out[3] = kA2 * kA * odd_a + kB2 * kB * odd_b + m[5];
  }
};

// 16 multiplications for 4 pixels, with a filter that grows less; as exact as a direct convolution.
struct Tile2 {
  static constexpr int kTile = 2;
  static constexpr int kUnder = kTile + kWinogradTaps - 1;
  static constexpr auto kFilter = FilterMatrix(std::array<double, 3>{0, 1, -1});

  template <class Vector>
  [[gnu::always_inline]] static inline void Input(const Vector* d, Vector* out) {
    out[0] = d[2] - d[0];
    out[1] = d[1] + d[2];
    out[2] = d[2] - d[1];
    out[3] = d[3] - d[1];
  }

  template <class Vector>
  [[gnu::always_inline]] static inline void Output(const Vector* m, Vector* out) {
    out[0] = m[0] + m[1] + m[2];
    out[1] = m[1] - m[2] + m[3];
  }
};

}  // namespace gradwire

#endif  // GRADWIRE_OPS_WINOGRAD_TILES_H_
