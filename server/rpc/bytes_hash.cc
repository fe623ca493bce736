#include "rpc/bytes_hash.h"

// From the header alone, so that the server needs no library more.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace gradwire::rpc {

uint64_t HashBytes(std::span<const std::span<const std::byte>> pieces) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const auto& piece : pieces) XXH3_64bits_update(&state, piece.data(), piece.size());
  return XXH3_64bits_digest(&state);
}

}  // namespace gradwire::rpc
