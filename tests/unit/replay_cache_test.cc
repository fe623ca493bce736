#include "session/replay_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::ErrorOf;

TEST(ReplayCache, GivesTheFirstAnswerAgain) {
  ReplayCache cache;
  EXPECT_EQ(cache.Find(1, 77), nullptr);
  cache.Store(1, 77, "answer");
  ASSERT_NE(cache.Find(1, 77), nullptr);
  EXPECT_EQ(*cache.Find(1, 77), "answer");
  EXPECT_EQ(cache.Find(2, 77), nullptr);
}

TEST(ReplayCache, RefusesAnotherPayloadUnderTheSameNumber) {
  ReplayCache cache;
  cache.Store(1, 77, "answer");
  EXPECT_THAT(ErrorOf([&] { cache.Find(1, 78); }), ::testing::StartsWith("SEQUENCE_REUSED"));
}

TEST(ReplayCache, ForgetsTheOldest) {
  ReplayCache cache;
  for (uint64_t i = 1; i <= 65; ++i) cache.Store(i, 1, "");
  EXPECT_EQ(cache.Find(1, 1), nullptr);
  EXPECT_NE(cache.Find(2, 1), nullptr);
}

TEST(ReplayCache, BoundsItsBytesButKeepsTheLast) {
  ReplayCache cache;
  const std::string large(20 << 20, 'x');
  cache.Store(1, 1, "small");
  cache.Store(2, 1, large);
  EXPECT_EQ(cache.Find(1, 1), nullptr);
  EXPECT_NE(cache.Find(2, 1), nullptr);
}

}  // namespace
}  // namespace gradwire
