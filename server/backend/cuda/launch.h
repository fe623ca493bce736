// How kernels are launched: over indices, or over rows that a team of threads shares. Kernels are
// functors. CUDA's compiler makes GPU code of them; any other makes loops for the tests' device, so
// that the same source runs without a GPU.
#ifndef GRADWIRE_BACKEND_CUDA_LAUNCH_H_
#define GRADWIRE_BACKEND_CUDA_LAUNCH_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <typeinfo>

#include "backend/backend.h"

#ifdef __CUDACC__
#include <cuda_runtime.h>
#define GRADWIRE_DEVICE __device__
#else
#define GRADWIRE_DEVICE
#endif

namespace gradwire::cuda {

#ifdef __CUDACC__

inline constexpr int kThreads = 256;
inline constexpr int kWarp = 32;

// The queue of a stream, whose GPU is the calling thread's from now on. REQUIRES: a CudaStream.
cudaStream_t QueueOf(Stream& stream);
// Throws what the last launch failed with.
void CheckLaunch(Stream& stream);

// The threads of a block. All of them call Combine alike.
class Team {
 public:
  __device__ int64_t rank() const { return threadIdx.x; }
  __device__ int64_t size() const { return blockDim.x; }
  // The accumulators of all threads, merged in an order that is always the same.
  template <class Acc, class Merge>
  __device__ Acc Combine(Acc mine, Merge merge) const {
    static_assert(sizeof(Acc) % sizeof(int) == 0 && std::is_trivially_copyable_v<Acc>);
    __shared__ alignas(16) unsigned char memory[kWarp * sizeof(Acc)];
    Acc* const sums = reinterpret_cast<Acc*>(memory);
    for (int distance = kWarp / 2; distance > 0; distance /= 2) {
      mine = merge(mine, FromLane(mine, distance));
    }
    if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = mine;
    __syncthreads();
    Acc all = sums[0];
    for (int warp = 1; warp < static_cast<int>(blockDim.x) / kWarp; ++warp) {
      all = merge(all, sums[warp]);
    }
    __syncthreads();  // before the memory is used again
    return all;
  }
  // What a thread wrote before, all others see after.
  __device__ void Sync() const { __syncthreads(); }

 private:
  template <class Acc>
  __device__ static Acc FromLane(const Acc& mine, int distance) {
    union Words {
      __device__ Words() {}
      Acc value;
      int words[sizeof(Acc) / sizeof(int)];
    } out;
    out.value = mine;
    for (int& word : out.words) word = __shfl_xor_sync(0xffffffffu, word, distance);
    return out.value;
  }
};

// *to += x, whoever else does so at the time; in no order.
template <class T>
__device__ void AddAtomically(T* to, T x) {
  atomicAdd(to, x);
}

template <class F>
__global__ void __launch_bounds__(kThreads) RunForEach(int64_t n, F f) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step) f(i);
}

template <class F>
__global__ void __launch_bounds__(kThreads) RunForRows(int64_t rows, F f) {
  const Team team{};
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) f(team, row);
}

// Blocks beyond what any GPU holds at a time go around a loop.
inline constexpr int64_t kMaxBlocks = 1 << 16;

// f(i) for each i in [0, n), in any order.
template <class F>
void ForEach(Stream& stream, int64_t n, const F& f) {
  if (n <= 0) return;
  const int64_t blocks = std::min((n + kThreads - 1) / kThreads, kMaxBlocks);
  RunForEach<<<static_cast<unsigned>(blocks), kThreads, 0, QueueOf(stream)>>>(n, f);
  CheckLaunch(stream);
}

// f(team, row) for each row in [0, rows) by a team of threads; about `work` elements each.
template <class F>
void ForRows(Stream& stream, int64_t rows, int64_t work, const F& f) {
  if (rows <= 0) return;
  const int threads = work >= 4 * kThreads ? kThreads : work >= 4 * kWarp ? 4 * kWarp : kWarp;
  const int64_t blocks = std::min(rows, kMaxBlocks);
  RunForRows<<<static_cast<unsigned>(blocks), threads, 0, QueueOf(stream)>>>(rows, f);
  CheckLaunch(stream);
}

#else

// The tests' driver runs it in queue order. REQUIRES: a stream of that driver.
void RunInQueue(Stream& stream, std::function<void()> work);

// The tests' threads of a block: as few as two warps can be of.
inline constexpr int kWarp = 2;
inline constexpr int kTeam = 4;

// Where they meet. All of them say the same; the tests' device sees to that.
struct Meeting {
  virtual ~Meeting() = default;
  virtual void Wait(int rank, const char* what) = 0;

  static constexpr size_t kMostBytes = 64;
  alignas(16) unsigned char memory[kTeam][kMostBytes];
};

class Team {
 public:
  Team(int rank, Meeting& meeting) : rank_(rank), meeting_(meeting) {}
  int64_t rank() const { return rank_; }
  int64_t size() const { return kTeam; }
  template <class Acc, class Merge>
  Acc Combine(Acc mine, Merge merge) const {
    static_assert(sizeof(Acc) <= Meeting::kMostBytes);
    const char* const what = typeid(Merge).name();
    const auto at = [this](int i) { return reinterpret_cast<Acc*>(meeting_.memory[i]); };
    for (int distance = kWarp / 2; distance > 0; distance /= 2) {
      *at(rank_) = mine;
      meeting_.Wait(rank_, what);
      mine = merge(mine, *at(rank_ ^ distance));
      meeting_.Wait(rank_, what);
    }
    if (rank_ % kWarp == 0) *at(rank_ / kWarp) = mine;
    meeting_.Wait(rank_, what);
    Acc all = *at(0);
    for (int warp = 1; warp < kTeam / kWarp; ++warp) all = merge(all, *at(warp));
    meeting_.Wait(rank_, what);
    return all;
  }
  void Sync() const { meeting_.Wait(rank_, "Sync"); }

 private:
  const int rank_;
  Meeting& meeting_;
};

// By a team of the tests' device: each thread of it runs it.
void RunTeam(const std::function<void(const Team&)>& run);

template <class T>
void AddAtomically(T* to, T x) {
  *to += x;
}

template <class F>
void ForEach(Stream& stream, int64_t n, const F& f) {
  RunInQueue(stream, [n, f] {
    for (int64_t i = 0; i < n; ++i) f(i);
  });
}

template <class F>
void ForRows(Stream& stream, int64_t rows, int64_t, const F& f) {
  RunInQueue(stream, [rows, f] {
    RunTeam([&](const Team& team) {
      for (int64_t row = 0; row < rows; ++row) f(team, row);
    });
  });
}

#endif

}  // namespace gradwire::cuda

#endif  // GRADWIRE_BACKEND_CUDA_LAUNCH_H_
