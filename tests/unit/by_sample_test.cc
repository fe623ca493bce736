#include "exec/by_sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/quota.h"
#include "core/parallel.h"
#include "exec/memory_plan.h"
#include "exec/pack.h"
#include "exec/relayout.h"
#include "tests/unit/error_of.h"
#include "tests/unit/plan_bench.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Ints = std::vector<int64_t>;
using Names = std::vector<std::string>;

constexpr int kThreads = 2;  // that plans are for
// As many, or one where there is one CPU, or where the sanitizer does not see how loops wait.
int Several(int threads) { return AvailableCpus() == 1 ? 1 : threads; }

const PlanOptions kNoWinograd = {.winograd = false};  // which rounds otherwise for one sample

class BySampleTest : public testing::PlanTest {
 protected:
  // An array that plans may take for a constant.
  Value Weight(const Dims& dims) {
    weights_.push_back(Normal(dims) * 0.2);
    bench_.Read(weights_.back());
    return weights_.back();
  }
  Value Conv(const Value& x, int64_t filters) {
    return Call("Conv", {x, Weight({filters, x.dims()[1], 3, 3})}, {{"pads", Ints{1, 1, 1, 1}}});
  }
  static Value Relu(const Value& x) { return Call("Relu", {x}); }

  struct Split {
    Traced traced;
    NumberedTensors constants;
    Plan plan;
  };
  Split SplitOf(const std::vector<Value>& results, const PlanOptions& options = kNoWinograd,
                int threads = kThreads) {
    Split split{TraceOf(results), {}, {}};
    for (const auto& [slot, number] : split.traced.given) {
      const bool is_weight = std::any_of(weights_.begin(), weights_.end(),
                                         [&](const Value& w) { return w.slot() == slot; });
      if (is_weight) split.constants.emplace_back(number, slot->tensor);
    }
    split.plan = PutChannelsLast(split.traced.plan);
    split.constants = Executor(bench_.stream(), [] {}).Fold(split.plan, split.constants);
    split.plan = SplitBySample(split.plan, split.constants, options, threads);
    PackConstants(split.plan, split.constants, options, int64_t{1} << 30);
    for (const PlanStep& step : split.plan.steps) {
      if (step.by_sample == nullptr) continue;
      step.by_sample->plan.memory = std::make_shared<const MemoryPlan>(step.by_sample->plan);
    }
    return split;
  }

  // The operators of the steps that go sample by sample, when the results are computed; expects the
  // traced plan's numbers, on any number of threads, of the first run as of those after it.
  Names SplitSteps(const std::vector<Value>& results, const PlanOptions& options = kNoWinograd,
                   int planned_threads = kThreads) {
    const Split split = SplitOf(results, options, planned_threads);
    const std::vector<Tensor> expected = Run(split.traced, split.traced.plan);
    for (const int threads : {1, 2, 2, 3}) {
      const ThreadsScope scope(Several(threads));
      ExpectClose(Run(split.traced, split.plan, split.constants), expected);
    }
    Names names;
    for (const PlanStep& step : split.plan.steps) {
      if (step.by_sample == nullptr) continue;
      for (const PlanStep& of_one : step.by_sample->plan.steps) names.emplace_back(of_one.op->name);
    }
    return names;
  }

  std::vector<Value> weights_;
};

TEST_F(BySampleTest, ConvolutionsAndWhatIsBetween) {
  const Value h = Relu(Conv(Normal({4, 3, 12, 12}), 8));
  const Value y = Call("MaxPool", {Conv(h, 8) + h}, {{"kernel_shape", Ints{2, 2}}});
  EXPECT_THAT(SplitSteps({y}),
              ElementsAre("Transpose", "Conv", "Relu", "Conv", "Add", "MaxPool", "Transpose"));
}

TEST_F(BySampleTest, BranchesThatAreJoinedAndShuffled) {
  const Value x = Conv(Normal({4, 4, 9, 9}), 4);
  const Value both = Call("Concat", {Conv(x, 4), Relu(x)}, {{"axis", int64_t{1}}});
  const Value shuffled =
      Reshape(Transpose(Reshape(both, {4, 2, 4, 9, 9}), {0, 2, 1, 3, 4}), {4, 8, 9, 9});
  const Value y = Call("AveragePool", {Conv(shuffled, 4)}, {{"kernel_shape", Ints{3, 3}}});
  EXPECT_THAT(SplitSteps({y}),
              ElementsAre("Transpose", "Conv", "Conv", "Relu", "Concat", "Reshape", "Transpose",
                          "Reshape", "Conv", "Transpose", "AveragePool"));
}

TEST_F(BySampleTest, WhatIsReadElsewhereIsMadeForAllSamples) {
  const Value a = Conv(Normal({6, 3, 8, 8}), 4);
  const Value b = Relu(Conv(a, 4));
  const Value view = Reshape(b, {6, 256});
  const Value mean = Sum(a, {0}, false);
  EXPECT_THAT(SplitSteps({a, b, view, mean}), ::testing::Contains("Conv").Times(2));
}

TEST_F(BySampleTest, OperandsOfOneSampleAndOfAll) {
  const Value x = Conv(Normal({4, 3, 8, 8}), 4);
  const Value y = Conv(x * Weight({4, 1, 1, 1}) + Weight({1, 4, 1, 1}) - Weight({4, 1, 1}), 4);
  EXPECT_THAT(SplitSteps({y * Normal({4, 4, 8, 8})}), ::testing::Contains("Conv").Times(2));
}

// The samples of both directions: what an array is as a whole to one, and sample by sample to
// another.
TEST_F(BySampleTest, AnArrayThatIsReadBothWays) {
  const Value x = Normal({4, 4, 4, 4});
  const Value scale = Weight({4, 4, 4});
  const Value y = Conv(Conv(x, 4) * scale + Reshape(scale, {4, 4, 4, 1}), 4);
  EXPECT_THAT(SplitSteps({y}), ::testing::Contains("Conv").Times(2));
}

TEST_F(BySampleTest, ArraysOfTheCallStayAsTheyAre) {
  const Value x = Normal({4, 4, 8, 8});
  const std::vector<double> before = bench_.Read(x);
  const Value y = Conv(Conv(Relu(x), 4), 4);
  SplitSteps({y});
  EXPECT_EQ(bench_.Read(x), before);
}

TEST_F(BySampleTest, ByWinogradToo) {
  const Value y = Conv(Conv(Normal({4, 32, 28, 28}), 32), 32);
  EXPECT_THAT(SplitSteps({y}, {}), ::testing::Contains("Conv").Times(2));
}

TEST_F(BySampleTest, NotOneSampleNorAFewTooMany) {
  for (const int64_t samples : {1, 3, 5, 7}) {
    SCOPED_TRACE(samples);
    EXPECT_THAT(SplitSteps({Conv(Conv(Normal({samples, 4, 8, 8}), 4), 4)}), IsEmpty());
  }
  EXPECT_THAT(SplitSteps({Conv(Conv(Normal({9, 4, 8, 8}), 4), 4)}), ::testing::Not(IsEmpty()));
  EXPECT_THAT(SplitSteps({Conv(Conv(Normal({8, 4, 8, 8}), 4), 4)}, kNoWinograd, 16), IsEmpty());
}

TEST_F(BySampleTest, NotWeightsThatChangeOrAreLargeNorArraysThatNoCacheHolds) {
  const Value x = Conv(Normal({4, 4, 8, 8}), 4);
  EXPECT_THAT(SplitSteps({Call("Conv", {x, Normal({4, 4, 3, 3})})}), IsEmpty());
  EXPECT_THAT(SplitSteps({Conv(Conv(Normal({4, 64, 4, 4}), 64), 64)}), IsEmpty());
  EXPECT_THAT(SplitSteps({Conv(Conv(Normal({4, 1, 1200, 1200}), 1), 1)}), IsEmpty());
}

TEST_F(BySampleTest, NotAcrossSamples) {
  const Value x = Conv(Normal({4, 4, 8, 8}), 4);
  EXPECT_THAT(SplitSteps({Conv(Transpose(x, {1, 0, 2, 3}), 4)}), IsEmpty());
  EXPECT_THAT(SplitSteps({Conv(Call("Concat", {x, x}, {{"axis", int64_t{0}}}), 4)}), IsEmpty());
  EXPECT_THAT(SplitSteps({Conv(x + Sum(x, {0}, true), 4)}), IsEmpty());
}

TEST_F(BySampleTest, AnErrorOfAThreadIsTheRuns) {
  const Split split = SplitOf({Conv(Conv(Normal({4, 8, 32, 32}), 8), 8)});
  std::vector<Tensor> arrays(split.plan.specs.size());
  for (const auto& [slot, number] : split.traced.given) {
    arrays[static_cast<size_t>(number)] = slot->tensor;
  }
  const auto stream = CpuBackend().NewStream(std::make_shared<Quota>(160 << 10));
  const ThreadsScope scope(Several(kThreads));
  EXPECT_THAT(testing::ErrorOf([&] { Executor(*stream, [] {}).Run(split.plan, arrays); }),
              ::testing::HasSubstr("max_session_bytes"));
}

TEST_F(BySampleTest, SmallSamplesGoTogether) {
  const auto parts = [&](const Dims& dims) {
    const Split split = SplitOf({Conv(Conv(Normal(dims), 4), 4)});
    EXPECT_EQ(split.plan.steps.size(), 1u);
    return split.plan.steps[0].by_sample->parts;
  };
  EXPECT_EQ(parts({64, 4, 8, 8}), 2);
  EXPECT_EQ(parts({64, 4, 64, 64}), 4);
  EXPECT_EQ(parts({8, 4, 256, 256}), 8);
}

TEST_F(BySampleTest, StopsBetweenParts) {
  const Split split = SplitOf({Conv(Conv(Normal({8, 1, 256, 256}), 4), 4)});
  std::vector<Tensor> arrays(split.plan.specs.size());
  for (const auto& [slot, number] : split.traced.given) {
    arrays[static_cast<size_t>(number)] = slot->tensor;
  }
  ASSERT_EQ(split.plan.steps.size(), 1u);
  int calls = 0;
  Executor executor(bench_.stream(), [&] {
    if (++calls == 3) throw Error(reason::kCancelled, "enough");
  });
  const ThreadsScope scope(Several(kThreads));
  EXPECT_THAT(testing::ErrorOf([&] { executor.Run(split.plan, arrays); }),
              ::testing::HasSubstr("enough"));
  EXPECT_EQ(calls, 3);
}

TEST_F(BySampleTest, RandomNetworksGiveTheSameNumbers) {
  for (int network = 0; network < 60; ++network) {
    const Dims dims = {static_cast<int64_t>(2 + 2 * Below(3)), 4, 6, 7};
    std::vector<Value> values = {Conv(Normal(dims), 4)};
    for (int i = 0; i < 12; ++i) {
      const Value x = values[Below(values.size())];
      const Value other = values[Below(values.size())];
      const std::vector<Value> next = {
          Conv(x, 4),
          Relu(x),
          x + other,
          x * Weight({4, 1, 1}),
          Conv(Call("Concat", {x, other}, {{"axis", int64_t{1}}}), 4),
          Call("MaxPool", {x}, {{"kernel_shape", Ints{3, 3}}, {"pads", Ints{1, 1, 1, 1}}}),
          Reshape(Tanh(Reshape(x, {dims[0], 168})), dims),
          x - Sum(x, {0}, true)};
      values.push_back(next[Below(next.size())]);
    }
    SplitSteps(Some(values));
  }
}

}  // namespace
}  // namespace gradwire
