#include "exec/relayout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "graph/channels_last.h"
#include "tests/unit/plan_bench.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;
using Names = std::vector<std::string>;

class RelayoutTest : public testing::PlanTest {
 protected:
  static Value Conv(const Value& x, const Value& w, std::vector<int64_t> pads = {1, 1, 1, 1}) {
    return Call("Conv", {x, w}, {{"pads", std::move(pads)}});
  }

  // The operators of the plan that computes the results with channels last, which are expected to
  // be the traced plan's.
  Names StepsOf(const std::vector<Value>& results) {
    const Traced traced = TraceOf(results);
    const Plan plan = PutChannelsLast(traced.plan);
    ExpectClose(Run(traced, plan), Run(traced, traced.plan));
    Names names;
    for (const PlanStep& step : plan.steps) names.emplace_back(step.op->name);
    return names;
  }
};

TEST_F(RelayoutTest, ImagesAreTransposedOnceOnTheirWayInAndOut) {
  const Value x = Normal({2, 3, 8, 8});
  const Value h = Call("Relu", {Conv(x, Normal({16, 3, 3, 3}))});
  const Value y = Call("Tanh", {Conv(h, Normal({16, 16, 3, 3})) + h});
  EXPECT_THAT(StepsOf({y}),
              ElementsAre("Transpose", "Conv", "Relu", "Conv", "Add", "Tanh", "Transpose"));
}

TEST_F(RelayoutTest, OneChannelOrOnePixelIsAViewEitherWay) {
  const Value y = Conv(Normal({2, 1, 8, 8}), Normal({4, 1, 8, 8}), {0, 0, 0, 0});
  EXPECT_THAT(StepsOf({y}), ElementsAre("Reshape", "Conv", "Reshape"));
}

TEST_F(RelayoutTest, PlansWithoutConvolutionsStayAsTheyAre) {
  const Value x = Normal({2, 3, 8, 8});
  const Value y = Call("MaxPool", {Tanh(x)}, {{"kernel_shape", std::vector<int64_t>{2, 2}}});
  EXPECT_THAT(StepsOf({y}), ElementsAre("Tanh", "MaxPool"));
}

TEST_F(RelayoutTest, OperandsBroadcastAgainstImages) {
  const Value x = Conv(Normal({2, 3, 4, 5}), Normal({6, 3, 3, 3}));
  for (const Dims& dims : std::vector<Dims>{{},
                                            {1},
                                            {5},
                                            {4, 5},
                                            {4, 1},
                                            {6, 1, 1},
                                            {6, 4, 5},
                                            {1, 6, 1, 1},
                                            {2, 1, 1, 1},
                                            {2, 6, 1, 1},
                                            {2, 1, 4, 5},
                                            {1, 6, 4, 5},
                                            {2, 6, 4, 5}}) {
    StepsOf({x * Normal(dims) - Normal(dims)});
  }
}

TEST_F(RelayoutTest, WhatIsWantedInItsUsualOrderIsGivenSo) {
  const Value h = Conv(Normal({2, 3, 4, 5}), Normal({6, 3, 3, 3}));
  const Value flat = Reshape(h, {2, 120});
  EXPECT_THAT(StepsOf({h, flat, Tanh(h)}),
              ElementsAre("Transpose", "Conv", "Transpose", "Reshape", "Tanh"));
}

// ShuffleNet's: channels are divided into groups, which change places with what they consist of.
TEST_F(RelayoutTest, ChannelsAreShuffledWhereTheyLie) {
  const Value h = Conv(Normal({2, 3, 4, 5}), Normal({12, 3, 3, 3}));
  const Value groups = Transpose(Reshape(h, {2, 3, 4, 4, 5}), {0, 2, 1, 3, 4});
  const Value shuffled = Reshape(groups, {2, 12, 4, 5});
  const Value w = Normal({6, 12, 3, 3});
  EXPECT_THAT(StepsOf({Conv(shuffled, w)}), ElementsAre("Transpose", "Conv", "Reshape", "Transpose",
                                                        "Reshape", "Conv", "Transpose"));
  EXPECT_THAT(StepsOf({Conv(shuffled, w), groups}),
              ElementsAre("Transpose", "Conv", "Reshape", "Transpose", "Reshape", "Conv",
                          "Transpose", "Transpose"));
}

TEST_F(RelayoutTest, ChannelsOfSeveralDimensionsAreNoImages) {
  const Value h = Conv(Normal({2, 3, 4, 5}), Normal({12, 3, 3, 3}));
  const Value groups = Reshape(h, {2, 3, 4, 4, 5});
  StepsOf({Tanh(groups) + groups});
  StepsOf({Call("MaxPool", {groups}, {{"kernel_shape", std::vector<int64_t>{1, 2, 2}}})});
  StepsOf({Transpose(groups, {0, 3, 2, 1, 4}), Transpose(groups, {1, 0, 2, 3, 4})});
  StepsOf({Reshape(groups, {2, 3, 4, 20}), Reshape(groups, {6, 4, 4, 5})});
  StepsOf(
      {Reshape(Transpose(Reshape(h, {2, 2, 3, 2, 4, 5}), {0, 3, 1, 2, 4, 5}), {2, 4, 3, 4, 5})});
}

TEST_F(RelayoutTest, WindowsThatOneDnnDoesNotKnowStayAsTheyAre) {
  const Value x = Normal({1, 3, 9, 9});
  const Value y = Call("gradwire::Conv", {x, Normal({4, 3, 3, 3})},
                       {{"strides", std::vector<int64_t>{1, 1}},
                        {"dilations", std::vector<int64_t>{1, 1}},
                        {"pads", std::vector<int64_t>{-1, -1, -1, -1}}});
  EXPECT_THAT(StepsOf({y}), ElementsAre("Conv"));
}

// Whose pixels between are gathered out of the others.
TEST_F(RelayoutTest, KernelsOfOneTapMayStride) {
  using Ints = std::vector<int64_t>;
  const auto conv = [&](const Dims& x, const Dims& w, Ints strides, int64_t group = 1) {
    return Call("Conv", {Normal(x), Normal(w)},
                {{"strides", std::move(strides)}, {"group", group}});
  };
  const auto moved = ElementsAre("Transpose", "Conv", "Transpose");
  EXPECT_THAT(StepsOf({conv({2, 16, 7, 6}, {8, 16, 1, 1}, {2, 3})}), moved);
  EXPECT_THAT(StepsOf({conv({2, 16, 8, 5}, {8, 16, 1, 1}, {3, 1})}), moved);
  EXPECT_THAT(StepsOf({conv({1, 12, 6, 6}, {24, 4, 1, 1}, {2, 2}, 3)}), moved);
  EXPECT_THAT(StepsOf({conv({2, 16, 9}, {8, 16, 1}, {4})}), moved);
  EXPECT_THAT(StepsOf({conv({1, 3, 4, 5, 6}, {5, 3, 1, 1, 1}, {1, 2, 4})}), moved);
}

TEST_F(RelayoutTest, NothingIsLostOfNaNAndInfinity) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinite = std::numeric_limits<double>::infinity();
  const std::vector<double> pixels = {nan, 1, -infinite, 2, 3, 4, infinite, 5, 6, 7, 8, 9};
  const std::vector<double> unit = {1, 0, 0, 1};
  const Value w = Array({2, 2, 1, 1}, unit, DType::kFloat32);
  const Value h = Conv(Array({1, 2, 2, 3}, pixels, DType::kFloat32), w, {0, 0, 0, 0});
  StepsOf({Call("Relu", {h}), Call("MaxPool", {h},
                                   {{"kernel_shape", std::vector<int64_t>{2, 2}},
                                    {"pads", std::vector<int64_t>{1, 1, 1, 1}}})});
}

// Chains of convolutions, poolings, normalisations and what lies between them, with their
// gradients; any of their values may be wanted.
TEST_F(RelayoutTest, RandomProgramsGiveTheSameNumbers) {
  using Ints = std::vector<int64_t>;
  for (int program = 0; program < 150; ++program) {
    const int64_t channels = program % 3 == 0 ? 16 : static_cast<int64_t>(1 + Below(6));
    const Dims dims = {static_cast<int64_t>(1 + Below(2)), channels, 5, 6};
    std::vector<Value> values = {Normal(dims), Normal(dims)};
    const auto pick = [&] { return values[Below(values.size())]; };
    for (int i = 0; i < 12; ++i) {
      const Value x = pick();
      const auto per_channel = [&] { return Square(Normal({channels})); };
      switch (Below(15)) {
        case 0:
          values.push_back(Conv(x, Normal({channels, channels, 3, 3}) * 0.2));
          break;
        case 1:
          values.push_back(Call("Conv", {x, Normal({channels, 1, 3, 3}) * 0.3, Normal({channels})},
                                {{"pads", Ints{1, 1, 1, 1}}, {"group", channels}}));
          break;
        case 2:
          values.push_back(Call("MaxPool", {x},
                                {{"kernel_shape", Ints{3, 3}},
                                 {"pads", Ints{2, 2, 2, 2}},
                                 {"dilations", Ints{2, 2}}}));
          break;
        case 3:
          values.push_back(
              Call("AveragePool", {x}, {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{1, 1, 1, 1}}}));
          break;
        case 4:
          values.push_back(Call("BatchNormalization",
                                {x, per_channel(), per_channel(), per_channel(), per_channel()}));
          break;
        case 5: {
          const Value twice = Call("Concat", {x, pick()}, {{"axis", int64_t{1}}});
          values.push_back(Conv(twice, Normal({channels, 2 * channels, 1, 1}) * 0.3, {0, 0, 0, 0}));
          break;
        }
        case 6:
          values.push_back(Call("gradwire::ConvInputGrad",
                                {x, Normal({channels, channels, 3, 3}) * 0.2},
                                {{"strides", Ints{1, 1}},
                                 {"dilations", Ints{1, 1}},
                                 {"pads", Ints{1, 1, 1, 1}},
                                 {"group", int64_t{1}}}));
          break;
        case 7: {
          const Value w = Call("gradwire::ConvWeightGrad", {x, pick()},
                               {{"strides", Ints{1, 1}},
                                {"dilations", Ints{1, 1}},
                                {"pads", Ints{1, 1, 1, 1}},
                                {"group", int64_t{1}}});
          values.push_back(Conv(pick(), Tanh(w) * 0.2));
          break;
        }
        case 8:
          values.push_back(Tanh(Call("Identity", {x})));
          break;
        case 9:
          values.push_back(Mean(x, {2, 3}, true) * pick());
          break;
        case 10:
          values.push_back(Transpose(Transpose(x, {0, 1, 3, 2}), {0, 1, 3, 2}));
          break;
        case 11: {
          const Values normed = ApplyAll("gradwire::BatchNorm", {x, per_channel(), per_channel()},
                                         {{"epsilon", 1e-5}}, 3);
          values.push_back(normed[0] * Reshape(normed[1] + normed[2], {channels, 1, 1}));
          break;
        }
        case 12:
          values.push_back(ApplyAll("gradwire::BatchNormGrad",
                                    {x, pick(), per_channel(), per_channel(), per_channel() + 0.5},
                                    {{"epsilon", 1e-5}}, 3)[0]);
          break;
        case 13: {
          const int64_t groups = channels % 2 == 0 ? 2 : 1;
          const Dims parts = {dims[0], groups, channels / groups, 5, 6};
          const Value shuffled = Transpose(Reshape(x, parts), {0, 2, 1, 3, 4});
          if (Below(3) == 0) values.push_back(Reshape(Tanh(shuffled), dims));
          values.push_back(Reshape(shuffled, dims));
          break;
        }
        default:
          values.push_back(Tanh(x + pick()));
      }
    }
    StepsOf(Some(values));
    if (HasFatalFailure()) FAIL() << "program " << program;
  }
}

}  // namespace
}  // namespace gradwire
