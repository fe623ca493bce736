#include "core/copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/aside.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace gradwire {
namespace {

#ifdef __SSE2__
constexpr size_t kLine = 64;

void CopyPast(std::byte* to, const std::byte* from, size_t bytes) {
  const size_t head = std::min(bytes, (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine);
  std::memcpy(to, from, head);
  size_t done = head;
  for (; done + kLine <= bytes; done += kLine) {
    const auto* source = reinterpret_cast<const __m128i*>(from + done);
    auto* target = reinterpret_cast<__m128i*>(to + done);
    const __m128i a = _mm_loadu_si128(source);
    const __m128i b = _mm_loadu_si128(source + 1);
    const __m128i c = _mm_loadu_si128(source + 2);
    const __m128i d = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, a);
    _mm_stream_si128(target + 1, b);
    _mm_stream_si128(target + 2, c);
    _mm_stream_si128(target + 3, d);
  }
  _mm_sfence();
  std::memcpy(to + done, from + done, bytes - done);
}
#else
void CopyPast(std::byte* to, const std::byte* from, size_t bytes) { std::memcpy(to, from, bytes); }
#endif

void CopyInOrder(std::byte* to, PiecesView pieces, size_t whole) {
  for (const auto& piece : pieces) {
    CopyBytes(to, piece.data(), piece.size(), whole);
    to += piece.size();
  }
}

}  // namespace

// From a megabyte on, reading a line of the target before it is written costs more than finding it
// in a cache afterwards is worth.
void CopyBytes(std::byte* to, const std::byte* from, size_t bytes, size_t whole) {
  constexpr size_t kPastCaches = size_t{1} << 20;
  if (bytes == 0) return;
  if (whole >= kPastCaches) {
    CopyPast(to, from, bytes);
  } else {
    std::memcpy(to, from, bytes);
  }
}

size_t BytesIn(PiecesView pieces) {
  size_t bytes = 0;
  for (const auto& piece : pieces) bytes += piece.size();
  return bytes;
}

Pieces Part(PiecesView pieces, size_t begin, size_t end) {
  Pieces part;
  size_t at = 0;
  for (const auto& piece : pieces) {
    const size_t from = std::clamp(begin, at, at + piece.size());
    const size_t until = std::clamp(end, at, at + piece.size());
    if (from != until) part.push_back(piece.subspan(from - at, until - from));
    at += piece.size();
  }
  return part;
}

// One core writes past the caches with half of what memory takes.
void CopyPieces(std::byte* to, PiecesView pieces, size_t whole) {
  const size_t bytes = BytesIn(pieces);
  if (bytes < kBytesForTwo) return CopyInOrder(to, pieces, whole);
  const size_t middle = bytes / 2;
  const Pieces front = Part(pieces, 0, middle);
  const Pieces back = Part(pieces, middle, bytes);
  Aside second;
  second.Start([&] { CopyInOrder(to + middle, back, whole); });
  CopyInOrder(to, front, whole);
}

}  // namespace gradwire
