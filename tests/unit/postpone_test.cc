#include "exec/postpone.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/unit/fusion_bench.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;
using Ints = std::vector<int64_t>;
using Names = std::vector<std::string>;

class PostponeTest : public testing::FusionBench, public ::testing::Test {
 protected:
  static Value Relu(const Value& x) { return Call("Relu", {x}); }
  static Value MaxPool(const Value& x, const Ints& pads = {0, 0, 0, 0}, int64_t gap = 1) {
    return Call("MaxPool", {x},
                {{"kernel_shape", Ints{2, 2}}, {"pads", pads}, {"dilations", Ints{gap, gap}}});
  }
  Value Image() { return Normal({2, 3, 5, 6}); }

  // The operators of the plan, which are expected to give the same bits.
  Names StepsOf(const std::vector<Value>& results) {
    const Traced traced = TraceOf(results);
    const Plan plan = PostponeRelu(traced.plan);
    EXPECT_EQ(BytesOf(PlanBench::Run(traced, plan)), BytesOf(PlanBench::Run(traced, traced.plan)));
    Names names;
    for (const PlanStep& step : plan.steps) names.emplace_back(step.op->name);
    return names;
  }
};

TEST_F(PostponeTest, ReluIsOfMaxima) {
  EXPECT_THAT(StepsOf({MaxPool(Relu(Image()))}), ElementsAre("MaxPool", "Relu"));
  EXPECT_THAT(StepsOf({MaxPool(Relu(Image()), {1, 1, 1, 1})}), ElementsAre("MaxPool", "Relu"));
}

TEST_F(PostponeTest, ReluIsOfTheWhole) {
  const Value whole = Concat({Relu(Image()), Relu(Image())}, 1);
  EXPECT_THAT(StepsOf({MaxPool(whole)}), ElementsAre("Concat", "MaxPool", "Relu"));
  EXPECT_THAT(StepsOf({Tanh(whole)}), ElementsAre("Concat", "Relu", "Tanh"));
}

TEST_F(PostponeTest, WhatOthersReadStays) {
  const Value h = Relu(Image());
  EXPECT_THAT(StepsOf({MaxPool(h), h}), ElementsAre("Relu", "MaxPool"));
  EXPECT_THAT(StepsOf({MaxPool(h), Tanh(h)}), ElementsAre("Relu", "MaxPool", "Tanh"));
  EXPECT_THAT(StepsOf({Concat({h, h}, 0)}), ElementsAre("Relu", "Concat"));
  EXPECT_THAT(StepsOf({Concat({Relu(Image()), Image()}, 0)}), ElementsAre("Relu", "Concat"));
}

TEST_F(PostponeTest, PositionsAreThoseOfTheFirstOfEqualOnes) {
  const Values located = ApplyAll("MaxPool", {Relu(Image())}, {{"kernel_shape", Ints{2, 2}}}, 2);
  EXPECT_THAT(StepsOf({located[0], located[1]}), ElementsAre("Relu", "MaxPool"));
}

TEST_F(PostponeTest, AWindowThatMeetsPaddingAloneHasNoMaximum) {
  const Value x = Normal({1, 1, 1, 1});
  EXPECT_THAT(StepsOf({MaxPool(Relu(x), {2, 2, 2, 2}, 4)}), ElementsAre("Relu", "MaxPool"));
}

TEST_F(PostponeTest, WhatNobodyReadsIsLeftAlone) {
  Traced traced = TraceOf({Relu(Image())});
  traced.plan.kept.clear();
  MarkLastUses(traced.plan);
  ASSERT_EQ(traced.plan.steps[0].outputs[0], kNoArray);
  EXPECT_EQ(PostponeRelu(traced.plan).steps.size(), 1);
}

TEST_F(PostponeTest, NaNAndInfinity) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinite = std::numeric_limits<double>::infinity();
  const std::vector<double> pixels = {nan, 1, -infinite, -0.0, -3, -4, infinite, 0, -6, 7, nan, 9};
  const Value x = Array({1, 2, 2, 3}, pixels, DType::kFloat32);
  EXPECT_THAT(StepsOf({MaxPool(Relu(x))}), ElementsAre("MaxPool", "Relu"));
}

}  // namespace
}  // namespace gradwire
