#include "core/copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gradwire {
namespace {

std::vector<std::byte> Pattern(size_t bytes) {
  std::vector<std::byte> pattern(bytes);
  for (size_t i = 0; i < bytes; ++i) pattern[i] = static_cast<std::byte>(i * 131 + (i >> 8));
  return pattern;
}

// Pieces of small and of large copies, wherever they begin and end.
TEST(CopyBytes, CopiesThePieceAndNothingElse) {
  constexpr size_t kMost = 700;
  constexpr std::byte kUntouched{0xa5};
  const std::vector<std::byte> source = Pattern(kMost + 64);
  for (const size_t whole : {size_t{1}, (size_t{1} << 20) - 1, size_t{1} << 20, size_t{1} << 30}) {
    for (size_t bytes = 0; bytes <= kMost; bytes += 1 + bytes / 5) {
      for (const size_t from : {size_t{0}, size_t{1}, size_t{31}}) {
        for (size_t to = 0; to < 64; to += 7) {
          std::vector<std::byte> target(kMost + 128, kUntouched);
          CopyBytes(target.data() + to, source.data() + from, bytes, whole);
          std::vector<std::byte> expected(target.size(), kUntouched);
          std::copy_n(source.begin() + static_cast<std::ptrdiff_t>(from), bytes,
                      expected.begin() + static_cast<std::ptrdiff_t>(to));
          ASSERT_EQ(target, expected) << bytes << " of " << whole << ", " << from << " to " << to;
        }
      }
    }
  }
}

TEST(CopyBytes, CopiesWhatIsLarge) {
  for (const size_t bytes : {(size_t{1} << 20) - 1, size_t{1} << 20, (size_t{5} << 20) + 13}) {
    const std::vector<std::byte> source = Pattern(bytes);
    std::vector<std::byte> target(bytes);
    CopyBytes(target.data(), source.data(), bytes, bytes);
    EXPECT_TRUE(target == source) << bytes;
  }
}

// Where two threads part them, and where pieces end, are places of their own.
TEST(CopyPieces, CopiesAllInOrder) {
  for (const size_t whole : {size_t{0}, size_t{1000}, (size_t{9} << 20) + 77}) {
    const std::vector<std::byte> source = Pattern(whole);
    for (const size_t size : {whole / 100 + 1, whole / 3 + 1, whole + 1}) {
      Pieces pieces = {{}};
      for (size_t at = 0; at < whole; at += size) {
        pieces.push_back(std::span(source).subspan(at, std::min(size, whole - at)));
        pieces.emplace_back();
      }
      std::vector<std::byte> target(whole);
      CopyPieces(target.data(), pieces);
      EXPECT_TRUE(target == source) << whole << " in pieces of " << size;
    }
  }
}

}  // namespace
}  // namespace gradwire
