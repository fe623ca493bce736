#include "exec/absorb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "tests/unit/plan_bench.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;
using Names = std::vector<std::string>;

class AbsorbTest : public testing::PlanTest {
 protected:
  // An array that is another in each run. All others are constants.
  Value Variable(const Value& value) {
    variables_.push_back(value);
    return value;
  }
  static Value Conv(const Value& x, const Value& w, const Value& b = {}) {
    Values inputs = {x, w};
    if (b) inputs.push_back(b);
    return Call("Conv", inputs, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  }
  Value BatchNorm(const Value& x) {
    const Dims channels = {x.dims()[1]};
    return Call("BatchNormalization", {x, Normal(channels), Normal(channels), Normal(channels),
                                       Square(Normal(channels)) + 0.5});
  }

  // The operators that are left of what computes the results, which are expected to be the traced
  // plan's.
  Names StepsOf(const std::vector<Value>& results) {
    const Traced traced = TraceOf(results);
    NumberedTensors constants;
    for (const auto& [slot, number] : traced.given) {
      const auto found = std::find_if(variables_.begin(), variables_.end(),
                                      [&](const Value& x) { return x.slot() == slot; });
      if (found == variables_.end()) constants.emplace_back(number, slot->tensor);
    }
    Plan plan = traced.plan;
    Executor executor(bench_.stream(), [] {});
    constants = AbsorbConstants(plan, constants, executor);
    constants = executor.Fold(plan, constants);
    ExpectClose(Run(traced, plan, constants), Run(traced, traced.plan));
    Names names;
    for (const PlanStep& step : plan.steps) names.emplace_back(step.op->name);
    return names;
  }

  std::vector<Value> variables_;
};

TEST_F(AbsorbTest, ConvolutionsNormalizeTheirBatches) {
  const Value x = Variable(Normal({2, 3, 7, 8}));
  const Value w = Normal({5, 3, 3, 3});
  EXPECT_THAT(StepsOf({BatchNorm(Conv(x, w))}), ElementsAre("Conv"));
  EXPECT_THAT(StepsOf({Call("Relu", {BatchNorm(Conv(x, w, Normal({5})))})}),
              ElementsAre("Conv", "Relu"));
}

TEST_F(AbsorbTest, EveryWayToScaleAndShift) {
  const Value x = Variable(Normal({2, 3, 7, 8}));
  for (const Dims& dims : std::vector<Dims>{{}, {1}, {5, 1, 1}, {1, 5, 1, 1}, {1, 1, 1}}) {
    for (const bool biased : {false, true}) {
      const auto y = [&] { return Conv(x, Normal({5, 3, 3, 3}), biased ? Normal({5}) : Value()); };
      const auto c = [&] { return Square(Normal(dims)) + 0.5; };
      EXPECT_THAT(StepsOf({y() + c()}), ElementsAre("Conv"));
      EXPECT_THAT(StepsOf({c() + y() - c()}), ElementsAre("Conv"));
      EXPECT_THAT(StepsOf({y() - c()}), ElementsAre("Conv"));
      EXPECT_THAT(StepsOf({y() / c()}), ElementsAre("Conv"));
      EXPECT_THAT(StepsOf({c() * (y() - c()) / c() + c()}), ElementsAre("Conv"));
      EXPECT_THAT(StepsOf({c() - y()}), ElementsAre("Conv", "Sub"));
      EXPECT_THAT(StepsOf({c() / y()}), ElementsAre("Conv", "Div"));
    }
  }
}

TEST_F(AbsorbTest, SeveralStepsOnOtherImagesAreOne) {
  const Value x = Tanh(Variable(Normal({2, 5, 3, 4})));
  EXPECT_THAT(StepsOf({BatchNorm(x)}), ElementsAre("Tanh", "MulAdd"));
  EXPECT_THAT(StepsOf({x * Normal({5, 1, 1}) / Full({}, 3, DType::kFloat32)}),
              ElementsAre("Tanh", "Mul"));
  EXPECT_THAT(StepsOf({x - Normal({1, 5, 1, 1}) - Normal({1})}), ElementsAre("Tanh", "Add"));
  EXPECT_THAT(StepsOf({x - Normal({5, 1, 1})}), ElementsAre("Tanh", "Sub"));
  EXPECT_THAT(StepsOf({x * Full({}, 3, DType::kFloat32) - Normal({1})}),
              ElementsAre("Tanh", "Mul", "Sub"));
  EXPECT_THAT(StepsOf({BatchNorm(Tanh(Variable(Normal({4, 6}))))}),
              ElementsAre("Tanh", "Sub", "Mul", "Add"));
}

TEST_F(AbsorbTest, NotWhatIsReadBetweenOrChangesOrIsNoChannels) {
  const Value x = Variable(Normal({2, 3, 7, 8}));
  const Value y = Conv(x, Normal({5, 3, 3, 3}));
  const Value c = Normal({5, 1, 1});
  EXPECT_THAT(StepsOf({y, y + c}), ElementsAre("Conv", "Add"));
  EXPECT_THAT(StepsOf({(y + c) * y}), ElementsAre("Conv", "Add", "Mul"));
  EXPECT_THAT(StepsOf({y + Variable(Normal({5, 1, 1}))}), ElementsAre("Conv", "Add"));
  EXPECT_THAT(StepsOf({y * Normal({8})}), ElementsAre("Conv", "Mul"));
  EXPECT_THAT(StepsOf({y * Normal({2, 1, 1, 1})}), ElementsAre("Conv", "Mul"));
  EXPECT_THAT(StepsOf({Conv(x, Variable(Normal({5, 3, 3, 3}))) + c}), ElementsAre("Conv", "Add"));
  EXPECT_THAT(StepsOf({Normal({5}) + Tanh(Variable(Normal({5})))}), ElementsAre("Tanh", "Add"));
}

TEST_F(AbsorbTest, NothingIsLostOfNaNAndInfinity) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinite = std::numeric_limits<double>::infinity();
  const std::vector<double> pixels = {nan, 1, -infinite, 2, 3, infinite, 4, 5, 6, 7, 8, 9};
  const Value x = Variable(Array({1, 1, 3, 4}, pixels, DType::kFloat32));
  EXPECT_THAT(StepsOf({BatchNorm(Conv(x, Normal({2, 1, 3, 3})))}), ElementsAre("Conv"));
  const std::vector<double> scales = {infinite, 2};
  const Value scale = Array({2, 1, 1}, scales, DType::kFloat32);
  EXPECT_THAT(StepsOf({Conv(x, Normal({2, 1, 3, 3})) * scale}), ElementsAre("Conv", "Mul"));
}

TEST_F(AbsorbTest, ResultsOfRandomProgramsAreTheSame) {
  for (int program = 0; program < 100; ++program) {
    variables_.clear();
    std::vector<Value> values = {Variable(Normal({2, 4, 5, 6}))};
    const size_t length = 3 + Below(10);
    while (values.size() < length) {
      const Value& x = values[values.size() - 1 - Below(std::min<size_t>(2, values.size()))];
      const Value c = Below(2) == 0 ? Normal({4, 1, 1}) : Normal({1});
      switch (Below(7)) {
        case 0:
          values.push_back(
              Conv(x * 0.2, Normal({4, 4, 3, 3}), Below(2) == 0 ? Normal({4}) : Value()));
          break;
        case 1:
          values.push_back(x + c);
          break;
        case 2:
          values.push_back(c * x);
          break;
        case 3:
          values.push_back(x - c);
          break;
        case 4:
          values.push_back(x / (Square(c) + 0.5));
          break;
        case 5:
          values.push_back(Tanh(x));
          break;
        default:
          values.push_back(Tanh(BatchNorm(x)) + values[Below(values.size())]);
      }
    }
    SCOPED_TRACE(program);
    StepsOf(Some(values));
  }
}

}  // namespace
}  // namespace gradwire
