#include <algorithm>
#include <cstdint>

#include "backend/cuda/check.h"
#include "backend/cuda/copy_box.cuh"
#include "core/error.h"
#include "core/strided.h"

namespace gradwire::cuda {
namespace {

constexpr int kMaxRank = 16;
constexpr int kThreads = 256;
constexpr int kTile = 32;
constexpr int kTileRows = 8;
constexpr int64_t kMaxBlocks = 1 << 16;

struct View {
  int rank;
  int64_t dims[kMaxRank];
  int64_t from[kMaxRank];
  int64_t to[kMaxRank];
};

struct Place {
  int64_t from = 0;
  int64_t to = 0;
};

// Of element `index` of the first `rank` dimensions. Index is uint32_t where it suffices: GPUs
// divide 64-bit integers slowly.
template <class Index>
__device__ Place PlaceOf(const View& view, int rank, Index index) {
  Place place;
  for (int d = rank - 1; d >= 0; --d) {
    const auto extent = static_cast<Index>(view.dims[d]);
    const Index next = d == 0 ? Index(0) : index / extent;
    const auto i = static_cast<int64_t>(index - next * extent);
    place.from += i * view.from[d];
    place.to += i * view.to[d];
    index = next;
  }
  return place;
}

template <class Index, class T>
__global__ void __launch_bounds__(kThreads)
    CopyElements(View view, int64_t n, const T* from, T* to) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step) {
    const Place place = PlaceOf(view, view.rank, static_cast<Index>(i));
    to[place.to] = from[place.from];
  }
}

// Matrices that are read along their rows and written along their columns: the view's last two
// dimensions, of which the first is read, and the second written, with a stride of 1. Through a
// tile in shared memory, so that both sides touch whole lines; its rows are one longer than that,
// so that threads of a warp use banks of their own.
template <class T>
__global__ void __launch_bounds__(kTile* kTileRows)
    TransposeTiles(View view, int64_t tiles_across, int64_t tiles_down, int64_t count,
                   const T* from, T* to) {
  __shared__ T tile[kTile][kTile + 1];
  const int across = view.rank - 2;  // read with stride 1
  const int down = view.rank - 1;    // written with stride 1
  const int64_t per_matrix = tiles_across * tiles_down;
  for (int64_t t = blockIdx.x; t < count * per_matrix; t += gridDim.x) {
    const Place matrix = PlaceOf(view, view.rank - 2, t / per_matrix);
    const int64_t column = t % per_matrix % tiles_across * kTile;
    const int64_t row = t % per_matrix / tiles_across * kTile;
    for (int i = threadIdx.y; i < kTile; i += kTileRows) {
      const int64_t x = column + threadIdx.x;
      const int64_t y = row + i;
      if (x < view.dims[across] && y < view.dims[down]) {
        tile[i][threadIdx.x] = from[matrix.from + x + y * view.from[down]];
      }
    }
    __syncthreads();
    for (int i = threadIdx.y; i < kTile; i += kTileRows) {
      const int64_t x = column + i;
      const int64_t y = row + threadIdx.x;
      if (x < view.dims[across] && y < view.dims[down]) {
        to[matrix.to + x * view.to[across] + y] = tile[threadIdx.x][i];
      }
    }
    __syncthreads();
  }
}

View ViewOf(const Box& box) {
  if (box.dims.size() > kMaxRank) {
    throw Error(reason::kOpUnsupported, "too many dimensions for a kernel on this device");
  }
  View view{static_cast<int>(box.dims.size()), {}, {}, {}};
  std::copy(box.dims.begin(), box.dims.end(), view.dims);
  std::copy(box.from.begin(), box.from.end(), view.from);
  std::copy(box.to.begin(), box.to.end(), view.to);
  return view;
}

// Moves a dimension that is read with stride 1 before the last, which is written so; false where
// there is none, or tiles would be mostly empty.
bool MakeTransposable(View& view) {
  constexpr int64_t kSmallest = 16;
  const int last = view.rank - 1;
  if (view.rank < 2 || view.to[last] != 1 || view.from[last] == 1) return false;
  for (int d = 0; d < last; ++d) {
    if (view.from[d] != 1 || view.dims[d] < kSmallest || view.dims[last] < kSmallest) continue;
    std::swap(view.dims[d], view.dims[last - 1]);
    std::swap(view.from[d], view.from[last - 1]);
    std::swap(view.to[d], view.to[last - 1]);
    return true;
  }
  return false;
}

template <class T>
void CopyAs(cudaStream_t queue, const Box& box, const T* from, T* to) {
  View view = ViewOf(box);
  const int64_t n = NumElements(box.dims);
  if (view.rank == 1 && view.from[0] == 1 && view.to[0] == 1) {
    GRADWIRE_CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<size_t>(n) * sizeof(T),
                                        cudaMemcpyDeviceToDevice, queue));
    return;
  }
  if (MakeTransposable(view)) {
    const int64_t across = view.dims[view.rank - 2];
    const int64_t down = view.dims[view.rank - 1];
    const int64_t tiles_across = (across + kTile - 1) / kTile;
    const int64_t tiles_down = (down + kTile - 1) / kTile;
    const int64_t count = n / (across * down);
    const int64_t blocks = std::min(count * tiles_across * tiles_down, kMaxBlocks);
    TransposeTiles<<<static_cast<unsigned>(blocks), dim3(kTile, kTileRows), 0, queue>>>(
        view, tiles_across, tiles_down, count, from, to);
  } else {
    const int64_t blocks = std::min((n + kThreads - 1) / kThreads, kMaxBlocks);
    const auto copy = n <= INT32_MAX ? CopyElements<uint32_t, T> : CopyElements<int64_t, T>;
    copy<<<static_cast<unsigned>(blocks), kThreads, 0, queue>>>(view, n, from, to);
  }
  GRADWIRE_CUDA_CHECK(cudaGetLastError());
}

}  // namespace

void CopyBoxOnGpu(cudaStream_t queue, const Box& box, size_t width, const void* from, void* to) {
  if (NumElements(box.dims) == 0) return;
  DispatchBytes(width, [&]<class T>() {
    CopyAs(queue, box, static_cast<const T*>(from), static_cast<T*>(to));
  });
}

}  // namespace gradwire::cuda
