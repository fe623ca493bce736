#include "session/steady_reads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/plan_bench.h"

namespace gradwire {
namespace {

class SteadyReadsTest : public testing::PlanTest {
 protected:
  static int NumberOf(const Traced& traced, const Value& value) {
    const auto given = std::find_if(traced.given.begin(), traced.given.end(),
                                    [&](const auto& entry) { return entry.first == value.slot(); });
    return given->second;
  }
  // Of a command that computes `y` and reads `w`.
  SteadyReads Watch(const Value& y, const Value& w) {
    traced_ = TraceOf({y});
    return {traced_.plan, {}, {NumberOf(traced_, w)}, PlanOptions()};
  }
  const SteadyReads::Improved* Find(SteadyReads& steady, const Value& w) {
    Executor executor(bench_.stream(), [] {});
    return steady.Find(std::vector<Value>{w}, executor);
  }
  void ExpectSame(const SteadyReads::Improved& improved) {
    ExpectClose(Run(traced_, improved.plan, improved.constants), Run(traced_, traced_.plan));
  }

  Traced traced_;
};

TEST_F(SteadyReadsTest, WeightsThatWereTheSameTwiceArePacked) {
  const Value w = Normal({96, 80});
  const Value y = Call("MatMul", {Normal({2, 32, 96}), w});
  SteadyReads steady = Watch(y, w);
  EXPECT_EQ(Find(steady, w), nullptr);
  const SteadyReads::Improved* const improved = Find(steady, w);
  ASSERT_NE(improved, nullptr);
  EXPECT_NE(improved->plan.steps[0].packed, nullptr);
  ExpectSame(*improved);
  ExpectSame(*improved);
  EXPECT_EQ(Find(steady, w), improved);
}

TEST_F(SteadyReadsTest, WhatHasChangedIsNeverTakenForAConstantAgain) {
  const Value w = Normal({96, 80});
  const Value other = Normal({96, 80});
  const Value y = Call("MatMul", {Normal({2, 32, 96}), w});
  SteadyReads steady = Watch(y, w);
  const int64_t before = bench_.used();
  Find(steady, w);
  ExpectSame(*Find(steady, w));
  EXPECT_GT(bench_.used(), before);
  EXPECT_GT(w.tensor().buffer().use_count(), 1) << "nobody may write to it";
  EXPECT_EQ(Find(steady, other), nullptr);
  EXPECT_EQ(bench_.used(), before) << "what was kept is given back";
  EXPECT_EQ(w.tensor().buffer().use_count(), 1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Find(steady, w), nullptr);

  SteadyReads restless = Watch(y, w);
  EXPECT_EQ(Find(restless, w), nullptr);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Find(restless, other), nullptr);
}

TEST_F(SteadyReadsTest, WhatTheCommandBindsAnewIsNoConstant) {
  const Value w = Normal({96, 80});
  traced_ = TraceOf({Call("MatMul", {Normal({2, 32, 96}), w})});
  SteadyReads steady(traced_.plan, {}, {kNoArray}, PlanOptions());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Find(steady, w), nullptr);
}

TEST_F(SteadyReadsTest, AModelsBatchNormalizationGoesIntoItsWeights) {
  const Value w = Normal({5, 3, 3, 3});
  const Value scale = Normal({5});
  const Value bias = Normal({5});
  const Value x = Normal({2, 3, 8, 8});
  traced_ = TraceOf({Call("Relu", {Call("BatchNormalization", {Call("Conv", {x, w}), scale, bias,
                                                               bias, Square(scale)})})});
  SteadyReads steady(traced_.plan, {},
                     {NumberOf(traced_, w), NumberOf(traced_, scale), NumberOf(traced_, bias)},
                     PlanOptions());
  Executor executor(bench_.stream(), [] {});
  const std::vector<Value> reads = {w, scale, bias};
  steady.Find(reads, executor);
  const SteadyReads::Improved* const improved = steady.Find(reads, executor);
  ASSERT_NE(improved, nullptr);
  std::vector<std::string> names;
  for (const PlanStep& step : improved->plan.steps) names.emplace_back(step.op->name);
  EXPECT_THAT(names, ::testing::Contains("Conv"));
  EXPECT_THAT(names, ::testing::Not(::testing::Contains("Sqrt")));
  ExpectSame(*improved);
}

}  // namespace
}  // namespace gradwire
