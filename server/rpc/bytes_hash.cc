#include "rpc/bytes_hash.h"

// From the header alone, so that the server needs no library more.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>

#include "core/aside.h"

namespace gradwire::rpc {
namespace {

uint64_t Xxh3(PiecesView pieces) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const auto& piece : pieces) XXH3_64bits_update(&state, piece.data(), piece.size());
  return XXH3_64bits_digest(&state);
}

}  // namespace

uint64_t HashBytes(PiecesView pieces) {
  const size_t bytes = BytesIn(pieces);
  if (bytes < kBytesForTwo) return Xxh3(pieces);
  const Pieces front = Part(pieces, 0, bytes / 2);
  const Pieces back = Part(pieces, bytes / 2, bytes);
  std::array<uint64_t, 2> halves;
  Aside second;
  second.Start([&] { halves[1] = Xxh3(back); });
  halves[0] = Xxh3(front);
  second.Wait();
  return XXH3_64bits(halves.data(), sizeof(halves));
}

}  // namespace gradwire::rpc
