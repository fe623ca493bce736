#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "ops/product.h"

namespace gradwire {
namespace {

// However many rows: they are multiplied in groups. Small integers, so that sums are exact.
TEST(MultiplyByStrip, MultipliesEachRowAndNoOther) {
  constexpr int64_t kDepth = 7, kRow = 11, kMostRows = 27;
  const int64_t width = StripWidth<float>(), c_row = width + 5;
  std::vector<float> a(kMostRows * kRow), strip(static_cast<size_t>(kDepth * width));
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 7 % 13) - 6;
  for (size_t i = 0; i < strip.size(); ++i) strip[i] = static_cast<float>(i * 5 % 11) - 5;
  for (int64_t m = 0; m <= kMostRows; ++m) {
    std::vector<float> expected(static_cast<size_t>((kMostRows + 1) * c_row), 0.5f);
    std::vector<float> c = expected;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < width; ++j) {
        float& sum = expected[static_cast<size_t>(i * c_row + j)];
        sum = 0;
        for (int64_t p = 0; p < kDepth; ++p) {
          sum += a[static_cast<size_t>(i * kRow + p)] * strip[static_cast<size_t>(p * width + j)];
        }
      }
    }
    MultiplyByStrip(a.data(), kRow, m, strip.data(), kDepth, c.data(), c_row);
    EXPECT_EQ(c, expected) << m << " rows";
  }
}

}  // namespace
}  // namespace gradwire
