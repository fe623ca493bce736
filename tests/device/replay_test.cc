// Commands that come again as recorded work, on the device under test: what is launched as a whole
// gives the bits of what is traced. A CPU records nothing, and gives them too.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "backend/quota.h"
#include "tests/device/replay_bench.h"
#include "tests/ops/device.h"

namespace gradwire {
namespace {

using testing::DeviceUnderTest;
using testing::ReplayBench;

class DeviceReplayTest : public ReplayBench, public ::testing::Test {
 protected:
  explicit DeviceReplayTest(const SessionOptions& options = {.seed = 7, .max_plans = 4})
      : ReplayBench(DeviceUnderTest(), options, testing::ToleranceOfPlans().chains) {}

  // At least so many where the device records.
  void ExpectReplays(const std::string& key, int64_t count) {
    EXPECT_GE(ReplaysOf(key), cached().stream().can_capture() ? count : 0) << key;
  }
};

TEST_F(DeviceReplayTest, ATrainingStepGoesBackAndForthBetweenTwoPlaces) {
  Put("w", {1, 2, 3}, true);
  for (int i = 0; i < 12; ++i) Both(TrainingStep({1, -2, 0.5f * static_cast<float>(i)}));
  ExpectReplays("train", 5);
}

TEST_F(DeviceReplayTest, RandomNumbersGoOn) {
  Put("w", std::vector<float>(1000, 1), true);
  Put("ratio", {0.5f}, false);
  Both(ScalarRatio());
  for (int i = 0; i < 14; ++i) {
    Both(TrainingStep(std::vector<float>(1000, static_cast<float>(i)), /*dropout=*/true));
  }
  ExpectReplays("train with dropout", 5);
}

TEST_F(DeviceReplayTest, ForgottenPlansLeaveNothing) {
  Put("w", {1, 2, 3}, true);
  for (int i = 0; i < 10; ++i) Both(TrainingStep({1, 2, 3}));
  ExpectReplays("train", 3);
  cached().commands().Clear();
  EXPECT_EQ(cached().quota().used(), traced().quota().used());
  Both(TrainingStep({1, 2, 3}));
}

TEST_F(DeviceReplayTest, FeedsAreReadFromOnePlace) {
  const std::vector<NodeDef> nodes = {Node("Tanh", {"x"}, "y"), Node("ReduceSum", {"y"}, "s"),
                                      Node("Mul", {"y", "s"}, "out")};
  std::vector<Tensor> held;  // so that what comes in lies elsewhere each time
  for (int i = 0; i < 10; ++i) {
    held.push_back(Array(cached(), std::vector<float>(static_cast<size_t>(i) + 1)));
    held.push_back(Array(cached(), {1, 2, 3}));
    Both(Evaluation("mul", nodes, {1, 2, static_cast<float>(i)}));
  }
  ExpectReplays("mul", 6);
}

TEST_F(DeviceReplayTest, WhatAClientHoldsStaysAsItIs) {
  PutInts("dims", {1, 2});
  for (int i = 0; i < 8; ++i) {
    const auto f = static_cast<float>(i);
    Both(Bind("a", "Neg", "a", {1, f}));
    Both(Bind("b", "Tanh", "b", {f, 3}));  // in the memory that `a` was computed in
    const Request keep{"keep", [i](Transaction& t, const std::vector<Tensor>&) {
                         t.Copy("a", fmt::format("a{}", i % 3));
                         return std::vector<NamedItem>();
                       }};
    Both({fmt::format("keep{}", i), keep.verbs});
  }
  Both(Drop({"a0", "a1", "a2"}));
  for (int i = 0; i < 10; ++i) {
    Both(Bind("a", "Neg", "a", {1, 2}));
    Both(Bind("b", "Tanh", "b", {2, 3}));
  }
  ExpectReplays("a", 4);
  ExpectReplays("b", 4);
}

TEST_F(DeviceReplayTest, AStepBetweenRecordingsMayRefuse) {
  Put("w", {1, 2, 3, 4}, true);
  PutInts("i", {0, 3});
  const Request step{
      "gather",
      [](Transaction& t, const std::vector<Tensor>& given) {
        auto fetched =
            t.Forward({.nodes = {Node("Mul", {"w", "x"}, "y"), Node("Gather", {"y", "i"}, "z"),
                                 Node("Mul", {"z", "z"}, "zz"), Node("ReduceSum", {"zz"}, "loss")},
                       .feeds = {{"x", given[0]}},
                       .outputs = {"loss"},
                       .fetch = {"loss"}})
                .fetched;
        t.Backward({.roots = {"loss"}});
        t.Step({.optimizer = Adam{.lr = 0.125}, .zero_grad = true});
        return fetched;
      },
      {{1, 2, 3, 4}}};
  for (int i = 0; i < 10; ++i) Both(step);
  ExpectReplays("gather", 3);
  const int64_t before = ReplaysOf("gather");
  // The same array with other elements, as an in-place update would leave.
  PutInts("i", {0, 9});
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Both(step));
  PutInts("i", {1, 2});
  for (int i = 0; i < 8; ++i) Both(step);
  ExpectReplays("gather", before + 1);
}

class DeviceSmallReplayTest : public DeviceReplayTest {
 protected:
  DeviceSmallReplayTest() : DeviceReplayTest({.max_bytes = 6 << 20, .seed = 7, .max_plans = 4}) {}
};

// Two copies of the parameter and its gradient fit, with all that a recording keeps they do not.
TEST_F(DeviceSmallReplayTest, WhereThereIsNoRoomForItNothingIsRecorded) {
  Put("w", std::vector<float>(1 << 17, 0.5f), true);
  const Request step{"sgd", [](Transaction& t, const std::vector<Tensor>&) {
                       t.Forward({.nodes = {Node("Mul", {"w", "w"}, "y"), Node("Tanh", {"y"}, "z"),
                                            Node("ReduceSum", {"z"}, "loss")},
                                  .outputs = {"loss"}});
                       t.Backward({.roots = {"loss"}});
                       t.Step({.optimizer = Sgd{.lr = 0.125}, .zero_grad = true});
                       return std::vector<NamedItem>();
                     }};
  for (int i = 0; i < 12; ++i) Both(step);
}

class DevicePlainRepeatTest : public DeviceReplayTest {
 protected:
  DevicePlainRepeatTest()
      : DeviceReplayTest({.seed = 7, .max_plans = 4, .plans = {.record = false}}) {}
};

TEST_F(DevicePlainRepeatTest, WithoutRecordings) {
  Put("w", {1, 2, 3}, true);
  for (int i = 0; i < 10; ++i) Both(TrainingStep({1, -2, 0.5f * static_cast<float>(i)}));
  EXPECT_EQ(ReplaysOf("train"), 0);
}

}  // namespace
}  // namespace gradwire
