#include "rpc/bytes_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gradwire::rpc {
namespace {

Pieces Cut(const std::vector<std::byte>& bytes, size_t size) {
  Pieces pieces;
  for (size_t at = 0; at < bytes.size(); at += size) {
    pieces.push_back(std::span(bytes).subspan(at, std::min(size, bytes.size() - at)));
  }
  return pieces;
}

TEST(HashBytes, TakesEachByteAndIsTheSameHoweverTheyAreCut) {
  for (const size_t size : {size_t{1} << 10, (size_t{4} << 20) - 1, (size_t{4} << 20) + 3}) {
    std::vector<std::byte> bytes(size);
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 131 + (i >> 8));
    const uint64_t hash = HashBytes(Cut(bytes, size));
    EXPECT_EQ(HashBytes(Cut(bytes, 1000)), hash);
    EXPECT_EQ(HashBytes(Cut(bytes, size / 2 + 1)), hash);
    for (const size_t at : {size_t{0}, size / 2 - 1, size / 2, size - 1}) {
      bytes[at] ^= std::byte{1};
      EXPECT_NE(HashBytes(Cut(bytes, size)), hash) << at << " of " << size;
      bytes[at] ^= std::byte{1};
    }
  }
}

}  // namespace
}  // namespace gradwire::rpc
