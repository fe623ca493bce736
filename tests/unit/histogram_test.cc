// Percentiles of the load generator against those of the sorted values.

#include "client/bench/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace gradwire::bench {
namespace {

TEST(Histogram, QuantilesAreThoseOfTheSortedValuesWithinABucket) {
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> draw(13, 3);
  Histogram whole;
  Histogram half;
  std::vector<int64_t> values;
  for (int i = 0; i < 20001; ++i) {
    values.push_back(static_cast<int64_t>(draw(random)));
    (i % 2 == 0 ? whole : half).Add(values.back());
  }
  whole.Add(half);
  std::sort(values.begin(), values.end());
  for (const double quantile : {0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const size_t rank = std::max<size_t>(
        1, static_cast<size_t>(std::ceil(quantile * static_cast<double>(values.size()))));
    const auto want = static_cast<double>(values[rank - 1]);
    const auto got = static_cast<double>(whole.Quantile(quantile));
    EXPECT_GE(got, want) << quantile;
    EXPECT_LE(got, want * (1 + 1.0 / 128) + 1) << quantile;
  }
  EXPECT_EQ(whole.count(), values.size());
  EXPECT_EQ(whole.max(), values.back());
}

TEST(Histogram, HasExactSmallValuesAndTakesAnyValue) {
  Histogram histogram;
  EXPECT_EQ(histogram.Quantile(0.5), 0);
  for (const int64_t value : {-5, 0, 1, 200, 255}) histogram.Add(value);
  EXPECT_EQ(histogram.Quantile(0.2), 0);
  EXPECT_EQ(histogram.Quantile(0.6), 1);
  EXPECT_EQ(histogram.Quantile(0.8), 200);
  histogram.Add(INT64_MAX);
  EXPECT_EQ(histogram.Quantile(1), INT64_MAX);
  histogram.Clear();
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.max(), 0);
}

}  // namespace
}  // namespace gradwire::bench
