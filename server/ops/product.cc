// Blocked as in Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008):
// a block of `a` stays in the L2 cache, a strip of `b` in L1, a tile of `c` in registers. Few rows
// times a PackedMatrix are not worth packing.
#include "ops/product.h"

#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "core/widest.h"

namespace gradwire {
namespace {

constexpr int64_t kBlockK = 256;
constexpr int64_t kBlockM = 96;
constexpr int64_t kBlockN = 1024;
// Multiplications that are worth a thread's wake-up.
constexpr int64_t kGrain = 1 << 16;
// The same where nothing is packed, and threads wait for each other after few rows.
constexpr int64_t kRowsGrain = 1 << 19;
// What is read of a strip is asked for so long before: it is often the first use in this call.
constexpr int64_t kBytesAhead = 8192;
constexpr int64_t kCacheLine = 64;

// A tile of c: kRows x kColumns, a few vectors wide.
template <class T, int kVectorBytes>
struct Tile {
  static constexpr int kLanes = kVectorBytes / int{sizeof(T)};
  static constexpr int kVectors = 2;
  static constexpr int kRows = kVectorBytes == 64 ? 12 : 6;
  static constexpr int kColumns = kLanes * kVectors;
  typedef T Vector __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));

  // tile = strip_a strip_b, over k; the strips are packed, `tile` is kRows x kColumns.
  [[gnu::always_inline]] static inline void Run(int64_t k, const T* strip_a, const T* strip_b,
                                                T* tile) {
    Vector sum[kRows][kVectors] = {};
    for (int64_t p = 0; p < k; ++p) {
      Vector b[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        b[v] = *reinterpret_cast<const Vector*>(strip_b + v * kLanes);
      }
#pragma GCC unroll 12
      for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) sum[i][v] += strip_a[i] * b[v];
      }
      strip_a += kRows;
      strip_b += kColumns;
    }
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        *reinterpret_cast<Vector*>(tile + i * kColumns + v * kLanes) = sum[i][v];
      }
    }
  }
};

// c = a strip_b, or c += a strip_b, over k; c is kRows x two vectors. Only strip_b is packed.
template <class T, int kVectorBytes, int kRows>
[[gnu::always_inline]] inline void RunRows(int64_t k, const T* a, int64_t a_row, const T* strip_b,
                                           T* c, int64_t c_row, bool add) {
  using Vector = typename Tile<T, kVectorBytes>::Vector;
  constexpr int64_t kLanes = Tile<T, kVectorBytes>::kLanes;
  constexpr int64_t kAhead = kBytesAhead / int64_t{sizeof(T)};
  Vector left[kRows] = {};
  Vector right[kRows] = {};
  for (int64_t p = 0; p < k; ++p, strip_b += 2 * kLanes) {
    for (int64_t at = kAhead; at < kAhead + 2 * kLanes; at += kCacheLine / int64_t{sizeof(T)}) {
      __builtin_prefetch(strip_b + at);
    }
    const Vector b_left = *reinterpret_cast<const Vector*>(strip_b);
    const Vector b_right = *reinterpret_cast<const Vector*>(strip_b + kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      left[i] += a[i * a_row + p] * b_left;
      right[i] += a[i * a_row + p] * b_right;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    auto* const to_left = reinterpret_cast<Vector*>(c + i * c_row);
    auto* const to_right = reinterpret_cast<Vector*>(c + i * c_row + kLanes);
    *to_left = add ? *to_left + left[i] : left[i];
    *to_right = add ? *to_right + right[i] : right[i];
  }
}

template <class T>
using TileFunction = void (*)(int64_t k, const T* strip_a, const T* strip_b, T* tile);
template <class T>
using RowsFunction = void (*)(int64_t k, const T* a, int64_t a_row, const T* strip_b, T* c,
                              int64_t c_row, bool add);

template <class T>
void RunTile256(int64_t k, const T* strip_a, const T* strip_b, T* tile) {
  Tile<T, 32>::Run(k, strip_a, strip_b, tile);
}

template <class T>
__attribute__((target("avx512f,avx512dq,avx512vl"))) void RunTile512(int64_t k, const T* strip_a,
                                                                     const T* strip_b, T* tile) {
  Tile<T, 64>::Run(k, strip_a, strip_b, tile);
}

template <class T, int kRows>
void RunRows256(int64_t k, const T* a, int64_t a_row, const T* strip_b, T* c, int64_t c_row,
                bool add) {
  RunRows<T, 32, kRows>(k, a, a_row, strip_b, c, c_row, add);
}

template <class T, int kRows>
__attribute__((target("avx512f,avx512dq,avx512vl"))) void RunRows512(int64_t k, const T* a,
                                                                     int64_t a_row,
                                                                     const T* strip_b, T* c,
                                                                     int64_t c_row, bool add) {
  RunRows<T, 64, kRows>(k, a, a_row, strip_b, c, c_row, add);
}

// The tile that suits the processor.
template <class T>
struct Shape {
  int64_t rows;
  int64_t columns;
  TileFunction<T> run;
  int64_t most_rows;            // that have registers below
  RowsFunction<T> run_rows[8];  // of 1 row, 2 rows, ...

  static const Shape& Best() {
    static const Shape shape =
        HasAvx512()
            ? Shape{Tile<T, 64>::kRows,
                    Tile<T, 64>::kColumns,
                    RunTile512<T>,
                    8,
                    {RunRows512<T, 1>, RunRows512<T, 2>, RunRows512<T, 3>, RunRows512<T, 4>,
                     RunRows512<T, 5>, RunRows512<T, 6>, RunRows512<T, 7>, RunRows512<T, 8>}}
            : Shape{Tile<T, 32>::kRows,
                    Tile<T, 32>::kColumns,
                    RunTile256<T>,
                    4,
                    {RunRows256<T, 1>, RunRows256<T, 2>, RunRows256<T, 3>, RunRows256<T, 4>}};
    return shape;
  }
};

int64_t RoundUp(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Copies count x k elements into strips of `width`, each k x width, the last filled with zeros.
// `along` is the stride within a strip, `across` the one along k.
template <class T>
void Pack(const T* from, int64_t count, int64_t k, int64_t along, int64_t across, int64_t width,
          T* to) {
  for (int64_t i = 0; i < count; i += width, to += k * width) {
    const int64_t filled = std::min(width, count - i);
    const T* strip = from + i * along;
    if (along == 1 || across != 1) {
      for (int64_t p = 0; p < k; ++p) {
        for (int64_t j = 0; j < filled; ++j) to[p * width + j] = strip[p * across + j * along];
      }
    } else {
      for (int64_t j = 0; j < filled; ++j) {
        for (int64_t p = 0; p < k; ++p) to[p * width + j] = strip[p + j * along];
      }
    }
    for (int64_t p = 0; filled < width && p < k; ++p) {
      std::fill(to + p * width + filled, to + (p + 1) * width, T{});
    }
  }
}

// Elements that one thread packs into, for the largest of some products.
template <class T>
struct Workspace {
  int64_t a = 0;
  int64_t b = 0;

  void Fit(const Product<T>& p) {
    const Shape<T>& shape = Shape<T>::Best();
    const int64_t k = std::min(kBlockK, p.k);
    a = std::max(a, RoundUp(std::min(kBlockM, p.m), shape.rows) * k);
    b = std::max(b, RoundUp(std::min(kBlockN, p.n), shape.columns) * k);
  }
  int64_t bytes() const { return RoundUp((a + b) * int64_t{sizeof(T)}, 64); }
};

// Adds (or stores) a tile's rows x columns upper left corner into c.
template <class T>
void Deliver(const T* tile, int64_t width, int64_t rows, int64_t columns, T* c, int64_t c_row,
             bool add) {
  for (int64_t i = 0; i < rows; ++i, tile += width, c += c_row) {
    if (add) {
      for (int64_t j = 0; j < columns; ++j) c[j] += tile[j];
    } else {
      std::copy(tile, tile + columns, c);
    }
  }
}

// One block: m x k packed in a, k x n packed in b.
template <class T>
void MultiplyBlock(int64_t m, int64_t n, int64_t k, const T* a, const T* b, T* c, int64_t c_row,
                   bool add) {
  const Shape<T>& shape = Shape<T>::Best();
  alignas(64) T tile[12 * 128 / sizeof(T)];
  for (int64_t j = 0; j < n; j += shape.columns) {
    for (int64_t i = 0; i < m; i += shape.rows) {
      shape.run(k, a + i * k, b + j * k, tile);
      Deliver(tile, shape.columns, std::min(shape.rows, m - i), std::min(shape.columns, n - j),
              c + i * c_row + j, c_row, add);
    }
  }
}

template <class T>
void MultiplySerial(const Product<T>& p, T* packed_a, T* packed_b) {
  if (p.k == 0 && !p.accumulate) {
    for (int64_t i = 0; i < p.m; ++i) std::fill_n(p.c + i * p.c_row, p.n, T{});
  }
  const Shape<T>& shape = Shape<T>::Best();
  for (int64_t j = 0; j < p.n; j += kBlockN) {
    const int64_t n = std::min(kBlockN, p.n - j);
    for (int64_t q = 0; q < p.k; q += kBlockK) {
      const int64_t k = std::min(kBlockK, p.k - q);
      Pack(p.b.data + q * p.b.row + j * p.b.column, n, k, p.b.column, p.b.row, shape.columns,
           packed_b);
      for (int64_t i = 0; i < p.m; i += kBlockM) {
        const int64_t m = std::min(kBlockM, p.m - i);
        Pack(p.a.data + i * p.a.row + q * p.a.column, m, k, p.a.row, p.a.column, shape.rows,
             packed_a);
        MultiplyBlock(m, n, k, packed_a, packed_b, p.c + i * p.c_row + j, p.c_row,
                      p.accumulate || q > 0);
      }
    }
  }
}

// Cuts a product into at most `parts`, across its longer side, at tile boundaries.
template <class T>
void Cut(const Product<T>& p, int64_t parts, std::vector<Product<T>>& pieces) {
  const Shape<T>& shape = Shape<T>::Best();
  const bool rows = p.m >= p.n;
  const int64_t side = rows ? p.m : p.n;
  const int64_t step = RoundUp((side + parts - 1) / parts, rows ? shape.rows : shape.columns);
  for (int64_t at = 0; at < side; at += step) {
    Product<T> piece = p;
    (rows ? piece.m : piece.n) = std::min(step, side - at);
    (rows ? piece.a.data : piece.b.data) += at * (rows ? p.a.row : p.b.column);
    piece.c += at * (rows ? p.c_row : 1);
    pieces.push_back(piece);
  }
}

// c = a strip, or c += a strip, in which `columns` count.
template <class T>
void MultiplyStrip(int64_t k, const T* a, int64_t a_row, int64_t m, const T* strip, int64_t columns,
                   T* c, int64_t c_row, bool add) {
  const Shape<T>& shape = Shape<T>::Best();
  alignas(64) T tile[8 * 128 / sizeof(T)];
  const bool whole = columns == shape.columns;
  for (int64_t groups = (m + shape.most_rows - 1) / shape.most_rows; groups > 0; --groups) {
    const int64_t rows = (m + groups - 1) / groups;
    const RowsFunction<T> run = shape.run_rows[rows - 1];
    if (whole) {
      run(k, a, a_row, strip, c, c_row, add);
    } else {
      run(k, a, a_row, strip, tile, shape.columns, false);
      Deliver(tile, shape.columns, rows, columns, c, c_row, add);
    }
    m -= rows;
    a += rows * a_row;
    c += rows * c_row;
  }
}

}  // namespace

template <class T>
PackedMatrix<T>::PackedMatrix(Stream& stream, const MatrixView<T>& b, int64_t k, int64_t n)
    : k_(k), n_(n) {
  const int64_t width = Shape<T>::Best().columns;
  packed_ = stream.Allocate(static_cast<size_t>(RoundUp(n, width) * k) * sizeof(T));
  auto* const packed = static_cast<T*>(packed_->data());
  const int64_t strips = (n + width - 1) / width;
  ParallelFor(strips, 1 + kGrain / std::max<int64_t>(1, k * width),
              [&](int64_t begin, int64_t end) {
                for (int64_t j = begin; j < end; ++j) {
                  Pack(b.data + j * width * b.column, std::min(width, n - j * width), k, b.column,
                       b.row, width, packed + j * width * k);
                }
              });
}

template <class T>
void PackedMatrix<T>::Multiply(const T* a, int64_t a_row, int64_t m, T* c, int64_t c_row,
                               bool accumulate) const {
  const int64_t width = Shape<T>::Best().columns;
  const auto* const packed = static_cast<const T*>(packed_->data());
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t q = 0; q < std::max<int64_t>(1, k_); q += kBlockK) {
      const int64_t k = std::min(kBlockK, k_ - q);
      for (int64_t j = begin; j < end; ++j) {
        MultiplyStrip(k, a + q, a_row, m, packed + (j * k_ + q) * width,
                      std::min(width, n_ - j * width), c + j * width, c_row, accumulate || q > 0);
      }
    }
  };
  const int64_t strips = (n_ + width - 1) / width;
  if (omp_in_parallel() != 0) {
    run(0, strips);
  } else {
    ParallelFor(strips, 1 + kRowsGrain / std::max<int64_t>(1, m * k_ * width), run);
  }
}

template <class T>
void Multiply(Stream& stream, std::span<const Product<T>> products) {
  int64_t work = 0;
  for (const Product<T>& p : products) work += p.m * p.n * p.k;
  const int64_t threads = std::clamp<int64_t>(work / kGrain, 1, Threads());
  const auto count = static_cast<int64_t>(products.size());
  const int64_t parts = count >= threads ? 1 : (threads + count - 1) / std::max<int64_t>(1, count);
  std::vector<Product<T>> pieces;
  Workspace<T> workspace;
  for (const Product<T>& p : products) {
    if (p.m == 0 || p.n == 0) continue;
    Cut(p, parts, pieces);
    workspace.Fit(p);
  }
  const auto total = static_cast<int64_t>(pieces.size());
  const BufferPtr scratch = stream.Allocate(static_cast<size_t>(threads * workspace.bytes()));
  ParallelFor(threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread) {
      T* const packed =
          reinterpret_cast<T*>(static_cast<char*>(scratch->data()) + thread * workspace.bytes());
      for (int64_t i = total * thread / threads; i < total * (thread + 1) / threads; ++i) {
        MultiplySerial(pieces[static_cast<size_t>(i)], packed, packed + workspace.a);
      }
    }
  });
}

template <class T>
int64_t StripWidth() {
  return Shape<T>::Best().columns;
}

template <class T>
void MultiplyByStrip(const T* a, int64_t a_row, int64_t m, const T* strip, int64_t k, T* c,
                     int64_t c_row) {
  MultiplyStrip(k, a, a_row, m, strip, StripWidth<T>(), c, c_row, /*add=*/false);
}

template int64_t StripWidth<float>();
template void MultiplyByStrip<float>(const float*, int64_t, int64_t, const float*, int64_t, float*,
                                     int64_t);
template class PackedMatrix<float>;
template class PackedMatrix<double>;
template void Multiply<float>(Stream&, std::span<const Product<float>>);
template void Multiply<double>(Stream&, std::span<const Product<double>>);
template void Multiply<int32_t>(Stream&, std::span<const Product<int32_t>>);
template void Multiply<int64_t>(Stream&, std::span<const Product<int64_t>>);
template void Multiply<uint32_t>(Stream&, std::span<const Product<uint32_t>>);
template void Multiply<uint64_t>(Stream&, std::span<const Product<uint64_t>>);

}  // namespace gradwire
