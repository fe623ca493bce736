// What the source of a chain's kernel is made of: exec/generated_chain.cc writes the rest. Compiled
// at run time, by NVRTC for a GPU; as plain C++ by the tests.
#ifndef GRADWIRE_OPS_CHAIN_KERNEL_H_
#define GRADWIRE_OPS_CHAIN_KERNEL_H_

#include <cstdint>

#include "ops/binary_functors.h"
#include "ops/computed.h"
#include "ops/pack.h"
#include "ops/ternary_functors.h"
#include "ops/unary_functors.h"

namespace gradwire::cuda {

// How arrays that broadcast are walked: the dimensions of the output, and for each array its
// strides. Dimensions that all arrays walk alike are one; the innermost stride is 0 or 1.
template <int kArrays, int kRank>
struct Walk {
  int64_t extents[kRank];
  int64_t strides[kArrays][kRank];

  // Where each array is read for element `index` of the output.
  GRADWIRE_FN void Of(int64_t index, int64_t count, int64_t (&at)[kArrays]) const {
    for (int k = 0; k < kArrays; ++k) at[k] = 0;
    count <= 0x7fffffff ? Add<uint32_t>(index, at) : Add<uint64_t>(index, at);
  }

 private:
  template <class Index>
  GRADWIRE_FN void Add(int64_t index, int64_t (&at)[kArrays]) const {
    auto rest = static_cast<Index>(index);
    for (int d = kRank - 1; d >= 0; --d) {
      const auto extent = static_cast<Index>(extents[d]);
      const Index next = d == 0 ? Index{0} : rest / extent;
      const auto i = static_cast<int64_t>(rest - next * extent);
      for (int k = 0; k < kArrays; ++k) at[k] += i * strides[k][d];
      rest = next;
    }
  }
};

template <int kCount, class T>
GRADWIRE_FN Pack<T, kCount> Load(const void* array, int64_t first) {
  return *reinterpret_cast<const Pack<T, kCount>*>(static_cast<const T*>(array) + first);
}

// The same element again and again.
template <int kCount, class T>
GRADWIRE_FN Pack<T, kCount> Spread(const void* array, int64_t at) {
  const T element = static_cast<const T*>(array)[at];
  Pack<T, kCount> pack;
  for (int j = 0; j < kCount; ++j) pack.at[j] = element;
  return pack;
}

template <int kCount, class T>
GRADWIRE_FN Pack<T, kCount> Load(const void* array, int64_t at, int64_t stride) {
  return stride == 1 ? Load<kCount, T>(array, at) : Spread<kCount, T>(array, at);
}

template <int kCount, class T>
GRADWIRE_FN void Store(void* array, int64_t first, const Pack<T, kCount>& pack) {
  *reinterpret_cast<Pack<T, kCount>*>(static_cast<T*>(array) + first) = pack;
}

// The i-th pack of a chain: of Chain::kPack elements or, where it goes element by element, of one.
template <class Chain>
GRADWIRE_FN void RunPack(const Chain& chain, int64_t i) {
  const int64_t first = i * chain.pack;
  if (chain.pack == Chain::kPack && first + Chain::kPack <= chain.count) {
    chain.template Run<Chain::kPack>(first);
    return;
  }
  for (int64_t j = first; j < first + chain.pack && j < chain.count; ++j) {
    chain.template Run<1>(j);
  }
}

// The entry: of each index in [0, packs).
#ifdef __CUDACC__
#define GRADWIRE_CHAIN_ENTRY(Chain)                                                        \
  extern "C" __global__ void __launch_bounds__(256) RunChain(int64_t packs, Chain chain) { \
    const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;                     \
    int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;               \
    for (; i < packs; i += step) ::gradwire::cuda::RunPack(chain, i);                      \
  }
#else
#define GRADWIRE_CHAIN_ENTRY(Chain)                                          \
  extern "C" void RunChain(int64_t packs, const void* chain) {               \
    const auto& typed = *static_cast<const Chain*>(chain);                   \
    for (int64_t i = 0; i < packs; ++i) ::gradwire::cuda::RunPack(typed, i); \
  }
#endif

}  // namespace gradwire::cuda

#endif  // GRADWIRE_OPS_CHAIN_KERNEL_H_
