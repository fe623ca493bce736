#include "ops/winograd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "exec/pack.h"
#include "exec/relayout.h"
#include "graph/channels_last.h"
#include "tests/unit/plan_bench.h"

namespace gradwire {
namespace {

using Pads = std::vector<int64_t>;

struct Case {
  Dims x, w;
  Pads pads = {1, 1, 1, 1};
  bool biased = true;
  int64_t group = 1;
  std::vector<int64_t> strides = {1, 1};
};

class WinogradTest : public testing::PlanTest {
 protected:
  // The plan of a convolution whose weights are constant.
  struct Planned {
    Traced traced;
    Plan plan;
    NumberedTensors constants;
  };
  Planned PlanOf(const Case& c, Values inputs, const PlanOptions& options = {}) {
    Planned planned{TraceOf({Conv(c, inputs)}), {}, {}};
    for (const auto& [slot, number] : planned.traced.given) {
      if (slot != inputs[0].slot()) planned.constants.emplace_back(number, slot->tensor);
    }
    planned.plan = PutChannelsLast(planned.traced.plan);
    PackConstants(planned.plan, planned.constants, options, int64_t{1} << 30);
    return planned;
  }
  Tensor Result(const Planned& planned) {
    return Run(planned.traced, planned.plan, planned.constants)[0];
  }

  static bool UsesWinograd(const Plan& plan) {
    return std::any_of(plan.steps.begin(), plan.steps.end(), [](const PlanStep& step) {
      const ChannelsLast* images = step.op->channels_last;
      return images != nullptr && images->constant != nullptr &&
             step.kernel == images->constant->cpu;
    });
  }

  Values InputsOf(const Case& c) {
    Values inputs = {Normal(c.x), Normal(c.w)};
    if (c.biased) inputs.push_back(Normal({c.w[0]}));
    return inputs;
  }
  static Value Conv(const Case& c, const Values& inputs) {
    return Call("Conv", inputs, {{"pads", c.pads}, {"group", c.group}, {"strides", c.strides}});
  }
  // The same in float64.
  std::vector<double> Exact(const Case& c, const Values& inputs) {
    Values wide;
    for (const Value& input : inputs) {
      wide.push_back(bench_.Make(input.dims(), bench_.Read(input), DType::kFloat64));
    }
    return bench_.Read(Conv(c, wide));
  }

  // Expects Winograd's form, and of it the exact numbers to 1e-5 of the size that they have.
  void ExpectExact(const Case& c) {
    const Values inputs = InputsOf(c);
    const std::vector<double> exact = Exact(c, inputs);
    const Planned planned = PlanOf(c, inputs);
    ASSERT_TRUE(UsesWinograd(planned.plan));
    const double tolerance = 1e-5 * std::sqrt(9.0 * static_cast<double>(c.w[1]));
    for (int run = 0; run < 2; ++run) {  // the second with the filter that the first kept
      const Tensor y = Result(planned);
      ASSERT_EQ(static_cast<size_t>(y.numel()), exact.size());
      for (size_t i = 0; i < exact.size(); ++i) {
        ASSERT_NEAR(y.data<float>()[i], exact[i], tolerance) << "element " << i;
      }
    }
  }
};

TEST_F(WinogradTest, TilesThatTheImageFillsAndThatItDoesNot) {
  for (const int64_t size : {int64_t{8}, int64_t{9}, int64_t{10}, int64_t{11}, int64_t{13}}) {
    SCOPED_TRACE(size);
    ExpectExact({{3, 16, size, 2 * size + 1}, {32, 16, 3, 3}});
  }
}

TEST_F(WinogradTest, SmallTilesOfFewPixels) {
  for (const int64_t size : {int64_t{7}, int64_t{8}, int64_t{13}, int64_t{14}}) {
    SCOPED_TRACE(size);
    ExpectExact({{1, 32, size, size}, {48, 32, 3, 3}});
  }
}

TEST_F(WinogradTest, PadsOfAnyWidth) {
  for (const Pads& pads :
       std::vector<Pads>{{0, 0, 0, 0}, {2, 0, 1, 3}, {0, 5, 0, 0}, {7, 6, 5, 4}}) {
    SCOPED_TRACE(::testing::PrintToString(pads));
    ExpectExact({{3, 16, 11, 12}, {16, 16, 3, 3}, pads, false});
  }
}

TEST_F(WinogradTest, StripsThatFiltersDoNotFill) {
  for (const int64_t filters : {int64_t{16}, int64_t{48}, int64_t{80}}) {
    SCOPED_TRACE(filters);
    ExpectExact({{1, 48, 13, 13}, {filters, 48, 3, 3}});
  }
}

TEST_F(WinogradTest, AnyNumberOfThreadsRoundsAlike) {
  if (AvailableCpus() == 1) GTEST_SKIP() << "this machine has one CPU to offer";
  const int threads = Threads();
  for (const Dims& x : {Dims{1, 32, 12, 12}, Dims{2, 32, 30, 30}}) {
    const Case c = {x, {96, 32, 3, 3}};
    const Planned planned = PlanOf(c, InputsOf(c));
    SetThreads(1);
    const Tensor alone = Result(planned);
    for (const int others : {2, 3, 7}) {
      SetThreads(others);
      const Tensor together = Result(planned);
      for (int64_t i = 0; i < alone.numel(); ++i) {
        ASSERT_EQ(together.data<float>()[i], alone.data<float>()[i]) << others << " threads";
      }
    }
  }
  SetThreads(threads);
}

TEST_F(WinogradTest, OtherConvolutionsAreDirect) {
  const Case suits = {{1, 16, 16, 16}, {16, 16, 3, 3}};
  EXPECT_TRUE(UsesWinograd(PlanOf(suits, InputsOf(suits)).plan));
  EXPECT_FALSE(UsesWinograd(PlanOf(suits, InputsOf(suits), {.winograd = false}).plan));
  for (const Case& c :
       std::vector<Case>{{{1, 16, 16, 16}, {16, 16, 3, 3}, {1, 1, 1, 1}, true, 1, {2, 2}},
                         {{1, 32, 16, 16}, {32, 16, 3, 3}, {1, 1, 1, 1}, true, 2},
                         {{1, 16, 16, 16}, {16, 16, 5, 5}},
                         {{1, 16, 16, 16}, {16, 16, 1, 1}, {0, 0, 0, 0}},
                         {{1, 16, 16, 16}, {24, 16, 3, 3}},
                         {{1, 20, 16, 16}, {16, 20, 3, 3}},
                         {{1, 16, 6, 6}, {16, 16, 3, 3}},      // few tiles
                         {{32, 16, 1, 1}, {16, 16, 3, 3}}}) {  // mostly outside
    EXPECT_FALSE(UsesWinograd(PlanOf(c, InputsOf(c)).plan)) << ::testing::PrintToString(c.w);
  }
}

// Of filters that fill their strips; blocks of memory may be an eighth larger.
TEST_F(WinogradTest, AFilterGrowsWithTheTile) {
  for (const auto& [size, growth] : {std::pair{32, 36.0 / 9}, std::pair{13, 16.0 / 9}}) {
    const Case c = {{1, 16, size, size}, {64, 16, 3, 3}, {1, 1, 1, 1}, false};
    const Values inputs = InputsOf(c);
    const int64_t before = bench_.used();
    const Planned planned = PlanOf(c, inputs);
    Result(planned);
    const auto kept = static_cast<double>(bench_.used() - before);
    const auto weights = static_cast<double>(inputs[1].tensor().bytes());
    EXPECT_GE(kept, growth * weights) << size;
    EXPECT_LE(kept, growth * weights * 1.125) << size;
  }
}

TEST_F(WinogradTest, ChangingFiltersAreDirect) {
  const Case c = {{1, 16, 16, 16}, {16, 16, 3, 3}};
  const Values inputs = InputsOf(c);
  Plan plan = PutChannelsLast(TraceOf({Conv(c, inputs)}).plan);
  Executor(bench_.stream(), [] {}).Fold(plan, {});
  EXPECT_FALSE(UsesWinograd(plan));
}

}  // namespace
}  // namespace gradwire
