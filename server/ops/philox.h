// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// 2011): a function of a counter and a key, so that any thread can make any number.
#ifndef GRADWIRE_OPS_PHILOX_H_
#define GRADWIRE_OPS_PHILOX_H_

#include <array>
#include <cstdint>

#include "ops/real_math.h"

namespace gradwire {

using PhiloxBlock = std::array<uint32_t, 4>;

GRADWIRE_FN PhiloxBlock Philox(PhiloxBlock counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xd2511f53u} * counter[0];
    const uint64_t b = uint64_t{0xcd9e8d57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9e3779b9u;
    key[1] += 0xbb67ae85u;
  }
  return counter;
}

// Block `index` of the stream that a seed stands for.
GRADWIRE_FN PhiloxBlock Philox(uint64_t index, uint64_t seed) {
  return Philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0},
                {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

// Uniform in [0, 1).
GRADWIRE_FN float ToUniform(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }
GRADWIRE_FN double ToUniform(uint32_t high, uint32_t low) {
  return static_cast<double>(((uint64_t{high} << 32) | low) >> 11) * 0x1p-53;
}

}  // namespace gradwire

#endif  // GRADWIRE_OPS_PHILOX_H_
