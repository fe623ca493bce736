// Commands that come again, on the device under test: what is repeated from a plan gives the bits
// of what is traced.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/ops/device.h"
#include "tests/unit/repeat_bench.h"

namespace gradwire {
namespace {

using testing::RepeatBench;

class DeviceRepeatTest : public RepeatBench, public ::testing::Test {
 protected:
  explicit DeviceRepeatTest(const PlanOptions& plans = {},
                            double tolerance = testing::ToleranceOfPlans().chains)
      : RepeatBench(testing::DeviceUnderTest(), {.seed = 7, .max_plans = 4, .plans = plans},
                    tolerance) {}
};

// Where nothing is fused, each plan runs the very kernels of a trace.
class DeviceClassifierTest : public DeviceRepeatTest, public ::testing::WithParamInterface<bool> {
 protected:
  DeviceClassifierTest()
      : DeviceRepeatTest({.fuse = GetParam()},
                         GetParam() ? testing::ToleranceOfPlans().products : 0) {}

  // A classifier of rows of 4 in 3 classes: two layers, softmax cross-entropy, a step of Adam.
  static Request Classifier(const std::vector<float>& x) {
    return {"classify",
            [](Transaction& t, const std::vector<Tensor>& given) {
              const std::vector<NodeDef> nodes = {
                  Node("Reshape", {"x", "rows"}, "rows_of_x"),
                  Node("Reshape", {"w1", "w1_dims"}, "m1"),
                  Node("MatMul", {"rows_of_x", "m1"}, "h1"),
                  Node("Add", {"h1", "b1"}, "h2"),
                  Node("Tanh", {"h2"}, "h3"),
                  Node("Reshape", {"w2", "w2_dims"}, "m2"),
                  Node("MatMul", {"h3", "m2"}, "scores"),
                  Node("SoftmaxCrossEntropyLoss", {"scores", "labels"}, "loss")};
              auto fetched = t.Forward({.nodes = nodes,
                                        .feeds = {{"x", given[0]}},
                                        .outputs = {"loss"},
                                        .fetch = {"loss"}})
                                 .fetched;
              t.Backward({.roots = {"loss"}});
              t.Step({.optimizer = Adam{.lr = 0.0625}, .zero_grad = true});
              return fetched;
            },
            {x}};
  }

  void PutClassifier() {
    std::vector<float> w1(4 * 5);
    std::vector<float> w2(5 * 3);
    for (size_t i = 0; i < w1.size(); ++i) w1[i] = 0.125f * static_cast<float>(i % 7) - 0.375f;
    for (size_t i = 0; i < w2.size(); ++i) w2[i] = 0.25f * static_cast<float>(i % 5) - 0.5f;
    Put("w1", w1, true);
    Put("w2", w2, true);
    Put("b1", {0.5f, -0.5f, 0, 0.25f, -0.25f}, true);
    PutInts("rows", {-1, 4});
    PutInts("w1_dims", {4, 5});
    PutInts("w2_dims", {5, 3});
    PutInts("labels", {0, 2, 1});
  }

  static std::vector<float> Batch(int i) {
    std::vector<float> x(12);
    for (size_t k = 0; k < x.size(); ++k) {
      x[k] = static_cast<float>((static_cast<int>(k) * 5 + i) % 9) - 4;
    }
    return x;
  }
};

TEST_F(DeviceRepeatTest, ATrainingLoop) {
  Put("w", {1, 2, 3}, true);
  int repeated = 0;
  for (int i = 0; i < 12; ++i) repeated += Both(TrainingStep({1, -2, 0.5f * float(i)}));
  EXPECT_EQ(repeated, 10);
}

TEST_F(DeviceRepeatTest, RandomNumbersGoOn) {
  Put("w", std::vector<float>(64, 1), true);
  Put("ratio", {0.5f}, false);
  Both(ScalarRatio());
  int repeated = 0;
  for (int i = 0; i < 12; ++i) {
    repeated += Both(TrainingStep(std::vector<float>(64, float(i)), /*dropout=*/true));
  }
  EXPECT_EQ(repeated, 10);
}

TEST_F(DeviceRepeatTest, WhatIsComputedAgainDrawsTheSameNumbers) {
  Put("w", std::vector<float>(64, 1), true);
  Put("ratio", {0.5f}, false);
  Both(ScalarRatio());
  int repeated = 0;
  for (int i = 0; i < 12; ++i) {
    repeated += Both(TrainingStep(std::vector<float>(64, float(i)), /*dropout=*/true, 2));
  }
  EXPECT_EQ(repeated, 10);
}

// Labels are checked by their values, amid the step.
TEST_P(DeviceClassifierTest, AStepThatTheHostReadsFrom) {
  PutClassifier();
  int repeated = 0;
  for (int i = 0; i < 12; ++i) repeated += Both(Classifier(Batch(i)));
  EXPECT_EQ(repeated, 10);
  PutInts("labels", {0, 7, 1});
  EXPECT_FALSE(Both(Classifier(Batch(1))));  // refused, and nothing has changed
  PutInts("labels", {1, 1, 0});
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(Both(Classifier(Batch(i))));
}

INSTANTIATE_TEST_SUITE_P(Fused, DeviceClassifierTest, ::testing::Bool());

// No CUDA kernel knows float8.
TEST_F(DeviceRepeatTest, WhatIsComputedOnTheHost) {
  const auto cast = [](const std::string& from, DType to, const std::string& name) {
    return Node("Cast", {from}, name, {{"to", static_cast<int64_t>(to)}});
  };
  const std::vector<NodeDef> nodes = {
      Node("Exp", {"x"}, "e"), cast("e", DType::kFloat8E4M3FN, "small"),
      cast("small", DType::kFloat32, "back"), Node("Neg", {"back"}, "out")};
  int repeated = 0;
  for (int i = 0; i < 8; ++i) {
    repeated += Both(Evaluation("small", nodes, {1, 2, float(i), 4}));
  }
  EXPECT_EQ(repeated, 6);
}

TEST_F(DeviceRepeatTest, OtherElementsThatDecideAShapeAreSeen) {
  PutInts("shape", {2, 2});
  const std::vector<NodeDef> nodes = {Node("Reshape", {"x", "shape"}, "y"),
                                      Node("Tanh", {"y"}, "out")};
  for (int i = 0; i < 8; ++i) Both(Evaluation("reshape", nodes, {1, 2, 3, float(i)}));
  PutInts("shape", {4, 1});
  for (int i = 0; i < 8; ++i) Both(Evaluation("reshape", nodes, {5, 6, 7, float(i)}));
}

TEST_F(DeviceRepeatTest, AnotherSpecLeafOrAliasIsTracedAnew) {
  Put("w", {1, 2, 3}, true);
  for (int i = 0; i < 8; ++i) Both(TrainingStep({1, 2, float(i)}));
  const Request copy{"copy", [](Transaction& t, const std::vector<Tensor>&) {
                       t.Copy("w", "alias");
                       return std::vector<NamedItem>();
                     }};
  Both(copy);
  for (int i = 0; i < 8; ++i) Both(TrainingStep({1, 2, float(i)}));
  Put("w", {4, 5, 6}, true);
  for (int i = 0; i < 8; ++i) Both(TrainingStep({1, 2, float(i)}));
  const Request keep{"keep", [](Transaction& t, const std::vector<Tensor>&) {
                       t.Detach("loss", "kept", false);
                       return std::vector<NamedItem>();
                     }};
  Both(keep);
  for (int i = 0; i < 8; ++i) Both(TrainingStep({1, 2, float(i)}));
}

TEST_F(DeviceRepeatTest, AFailedRepeatChangesNothing) {
  Put("w", {1, 2}, true);
  for (int i = 0; i < 8; ++i) Both(TrainingStep({1, 1}));
  const CachedCommandPtr command = cached().commands().Find("train");
  ASSERT_NE(command, nullptr);
  {
    Transaction transaction(cached(), [] { throw Error(reason::kCancelled, "stop"); });
    const Tensor x = Array(cached(), {0, 0});
    EXPECT_EQ(testing::ErrorOf([&] { transaction.Repeat(*command, {x}); }), "CANCELLED: stop");
  }
  EXPECT_TRUE(Both(TrainingStep({1, 1})));
}

}  // namespace
}  // namespace gradwire
