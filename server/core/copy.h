// Copies of what is too large for the caches.
#ifndef GRADWIRE_CORE_COPY_H_
#define GRADWIRE_CORE_COPY_H_

#include <cstddef>
#include <span>
#include <vector>

namespace gradwire {

// As std::memcpy, for one piece of a copy of `whole` bytes in all: a large one is written past the
// caches, which would only lose what others have in them.
void CopyBytes(std::byte* to, const std::byte* from, size_t bytes, size_t whole);

// Bytes that follow each other, in the pieces in which they came.
using Pieces = std::vector<std::span<const std::byte>>;
using PiecesView = std::span<const std::span<const std::byte>>;
size_t BytesIn(PiecesView pieces);
// Those bytes of all that are in [begin, end).
Pieces Part(PiecesView pieces, size_t begin, size_t end);

// As CopyBytes, of pieces; many bytes with the help of another thread.
void CopyPieces(std::byte* to, PiecesView pieces, size_t whole);
inline void CopyPieces(std::byte* to, PiecesView pieces) {
  CopyPieces(to, pieces, BytesIn(pieces));
}

}  // namespace gradwire

#endif  // GRADWIRE_CORE_COPY_H_
