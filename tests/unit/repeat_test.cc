// Commands that come again: a session that keeps plans against one that traces each time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "tests/unit/repeat_bench.h"

namespace gradwire {
namespace {

using testing::ErrorOf;
using Request = testing::RepeatBench::Request;

struct CpuOwner {
  CpuBackend backend;
};

class RepeatTest : public CpuOwner, public testing::RepeatBench, public ::testing::Test {
 protected:
  RepeatTest() : RepeatBench(backend) {}
};

TEST_F(RepeatTest, ATrainingLoopIsTracedUntilItsOptimizerHasState) {
  Put("w", {1, 2, 3}, true);
  std::vector<bool> repeated;
  for (int i = 0; i < 8; ++i) repeated.push_back(Both(TrainingStep({1, -2, 0.5f * float(i)})));
  EXPECT_THAT(repeated, ::testing::ElementsAre(false, false, true, true, true, true, true, true));
}

TEST_F(RepeatTest, RandomNumbersGoOn) {
  Put("w", std::vector<float>(64, 1), true);
  Put("ratio", {0.5f}, false);
  Both(ScalarRatio());
  int repeated = 0;
  for (int i = 0; i < 6; ++i) {
    repeated += Both(TrainingStep(std::vector<float>(64, float(i)), /*dropout=*/true));
  }
  EXPECT_EQ(repeated, 4);
}

TEST_F(RepeatTest, WhatIsComputedAgainDrawsTheSameNumbers) {
  Put("w", std::vector<float>(64, 1), true);
  Put("ratio", {0.5f}, false);
  Both(ScalarRatio());
  int repeated = 0;
  for (int i = 0; i < 6; ++i) {
    repeated += Both(TrainingStep(std::vector<float>(64, float(i)), /*dropout=*/true, 2));
  }
  EXPECT_EQ(repeated, 4);
}

TEST_F(RepeatTest, OtherElementsThatDecideAShapeAreSeen) {
  PutInts("shape", {2, 2});
  const std::vector<NodeDef> nodes = {Node("Reshape", {"x", "shape"}, "out")};
  std::vector<bool> repeated;
  for (int i = 0; i < 4; ++i) repeated.push_back(Both(Evaluation("reshape", nodes, {1, 2, 3, 4})));
  PutInts("shape", {4, 1});
  for (int i = 0; i < 2; ++i) repeated.push_back(Both(Evaluation("reshape", nodes, {5, 6, 7, 8})));
  EXPECT_THAT(repeated, ::testing::ElementsAre(false, false, true, true, false, true));
}

TEST_F(RepeatTest, GivenElementsThatDecideAShapeAreReadEachTime) {
  const std::vector<NodeDef> nodes = {Node("NonZero", {"x"}, "out")};
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(Both(Evaluation("nonzero", nodes, {0, 1, float(i % 2), 1})));
  }
}

TEST_F(RepeatTest, AnotherSpecLeafOrAliasIsTracedAnew) {
  Put("w", {1, 2, 3}, true);
  const auto settle = [&] {
    for (int i = 0; i < 3; ++i) Both(TrainingStep({1, 1, 1}));
    return Both(TrainingStep({1, 2, 3}));
  };
  EXPECT_TRUE(settle());
  Put("w", {1}, true);
  EXPECT_FALSE(Both(TrainingStep({1, 1, 1})));
  for (const std::string state : {"t", "v", "h"}) {
    const Request drop{"drop", [&](Transaction& t, const std::vector<Tensor>&) {
                         t.Delete({"optim/w/" + state}, false);
                         return std::vector<NamedItem>();
                       }};
    Both(drop);
  }
  EXPECT_TRUE(settle());
  Put("w", {4}, false);
  EXPECT_FALSE(Both(TrainingStep({1, 1, 1})));  // refused: nothing requires grad
  Put("w", {4}, true);
  EXPECT_TRUE(Both(TrainingStep({1, 1, 1})));
  // Someone else holds the leaf: the graph of the step before can still be told from a new one's.
  const Request copy{"copy", [](Transaction& t, const std::vector<Tensor>&) {
                       t.Copy("w", "alias");
                       return std::vector<NamedItem>();
                     }};
  Both(copy);
  EXPECT_FALSE(Both(TrainingStep({1, 1, 1})));
}

TEST_F(RepeatTest, AMissingTensorIsMissed) {
  Put("w", {1, 2}, true);
  for (int i = 0; i < 4; ++i) Both(TrainingStep({1, 2}));
  const Request drop{"drop", [](Transaction& t, const std::vector<Tensor>&) {
                       t.Delete({"w"}, false);
                       return std::vector<NamedItem>();
                     }};
  Both(drop);
  EXPECT_FALSE(Both(TrainingStep({1, 2})));
}

TEST_F(RepeatTest, TheUsedUpGraphIsStillThere) {
  Put("w", {1, 2}, true);
  for (int i = 0; i < 4; ++i) Both(TrainingStep({1, float(i)}));
  const Request again{"again", [](Transaction& t, const std::vector<Tensor>&) {
                        t.Backward({.roots = {"loss"}});
                        return std::vector<NamedItem>();
                      }};
  Both(again);
  Transaction transaction(cached(), [] {});
  EXPECT_THAT(ErrorOf([&] { transaction.Backward({.roots = {"loss"}}); }),
              ::testing::StartsWith("GRAPH_FREED"));
  EXPECT_EQ(transaction.GetGraph("loss").grad_fn()->op().name, "ReduceSum");
}

TEST_F(RepeatTest, AGraphThatIsStillWholeIsNotShared) {
  Put("w", {1, 2}, true);
  const Request forward{"forward",
                        [](Transaction& t, const std::vector<Tensor>& given) {
                          t.Forward({.nodes = {Node("Mul", {"w", "x"}, "y")},
                                     .feeds = {{"x", given[0]}},
                                     .outputs = {"y"}});
                          return std::vector<NamedItem>();
                        },
                        {{3, 4}}};
  const Request backward{"backward",
                         [](Transaction& t, const std::vector<Tensor>& given) {
                           t.Backward({.roots = {"y"}, .seeds = {{"y", "", given[0]}}});
                           return std::vector<NamedItem>();
                         },
                         {{1, 2}}};
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(Both(forward));
    EXPECT_FALSE(Both(backward));
  }
}

TEST_F(RepeatTest, GradientsAccumulate) {
  Put("w", {1, 2}, true);
  const Request accumulate{"accumulate",
                           [](Transaction& t, const std::vector<Tensor>& given) {
                             t.Forward({.nodes = {Node("Mul", {"w", "x"}, "y")},
                                        .feeds = {{"x", given[0]}},
                                        .outputs = {"y"}});
                             t.Backward({.roots = {"y"}, .seeds = {{"y", "", given[1]}}});
                             return std::vector<NamedItem>();
                           },
                           {{3, 4}, {1, 2}}};
  int repeated = 0;
  for (int i = 0; i < 5; ++i) repeated += Both(accumulate);
  EXPECT_EQ(repeated, 3);
}

TEST_F(RepeatTest, APutIsNewEachTime) {
  const Request put{"put",
                    [](Transaction& t, const std::vector<Tensor>& given) {
                      t.Put({{"w", given[0]}}, true);
                      t.Detach("w", "d", false);
                      return t.Fetch({"d"});
                    },
                    {{1, 2}}};
  for (int i = 0; i < 4; ++i) Both(put);
  Request other = put;
  other.given = {{5, 6}};
  EXPECT_TRUE(Both(other));
}

TEST_F(RepeatTest, AFailedRepeatChangesNothing) {
  Put("w", {1, 2}, true);
  for (int i = 0; i < 4; ++i) Both(TrainingStep({1, 1}));
  const CachedCommandPtr command = cached().commands().Find("train");
  ASSERT_NE(command, nullptr);
  int left = 3;
  {
    Transaction transaction(cached(), [&] {
      if (left-- == 0) throw Error(reason::kCancelled, "stop");
    });
    const Tensor x = Array(cached(), {0, 0});
    EXPECT_EQ(ErrorOf([&] { transaction.Repeat(*command, {x}); }), "CANCELLED: stop");
  }
  EXPECT_TRUE(Both(TrainingStep({1, 1})));
}

TEST_F(RepeatTest, WhatIsTheSameEachTimeIsComputedOnce) {
  PutInts("shape", {3});
  // out = x + 2 * (ones(shape) + ones(shape)), of which x alone is given.
  const std::vector<NodeDef> nodes = {
      Node("ConstantOfShape", {"shape"}, "zeros"), Node("Exp", {"zeros"}, "ones"),
      Node("Add", {"ones", "ones"}, "twos"), Node("Add", {"twos", "twos"}, "fours"),
      Node("Add", {"x", "fours"}, "out")};
  for (int i = 0; i < 3; ++i) Both(Evaluation("fold", nodes, {1, 2, float(i)}));
  const CachedCommandPtr command = cached().commands().Find("fold");
  ASSERT_NE(command, nullptr);
  EXPECT_EQ(command->plan.steps.size(), 1u);
  EXPECT_EQ(command->constants.size(), 1u);
  EXPECT_TRUE(Both(Evaluation("fold", nodes, {5, 6, 7})));
}

TEST_F(RepeatTest, TheLeastRecentlyUsedPlanIsForgotten) {
  const std::vector<NodeDef> nodes = {Node("Neg", {"x"}, "out")};
  for (int i = 0; i < 3; ++i) Both(Evaluation("first", nodes, {1}));
  for (const char* key : {"a", "b", "c"}) Both(Evaluation(key, nodes, {1}));
  EXPECT_TRUE(Both(Evaluation("first", nodes, {2})));
  for (const char* key : {"d", "e", "f", "g"}) Both(Evaluation(key, nodes, {1}));
  EXPECT_FALSE(Both(Evaluation("first", nodes, {2})));
}

}  // namespace
}  // namespace gradwire
