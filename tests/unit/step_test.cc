// The optimizers against the formulas of gradwire.proto, written out for one number.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "tests/unit/error_of.h"
#include "tests/unit/session_bench.h"

namespace gradwire {
namespace {

using testing::ErrorOf;
using testing::SessionBench;

// Moves `x` by gradient `g` at step t = 0, 1, ...
using Rule = std::function<void(double& x, double g, int t)>;

void ExpectSteps(const Optimizer& optimizer, const Rule& rule) {
  constexpr double kStart = 2;
  constexpr double kGradient[] = {0.5, -3, 0.25, 1};
  SessionBench bench;
  bench.Put("w", {1}, {kStart}, /*requires_grad=*/true);
  double expected = kStart;
  for (int t = 0; t < 4; ++t) {
    bench.Put("grad/w", {1}, {kGradient[t]});
    bench.Do([&](Transaction& transaction) { transaction.Step({.optimizer = optimizer}); });
    rule(expected, kGradient[t], t);
    EXPECT_NEAR(bench.Read("w")[0], expected, 1e-12) << "step " << t;
  }
}

TEST(StepTest, Sgd) {
  ExpectSteps(Sgd{.lr = 0.1, .weight_decay = 0.01},
              [](double& x, double g, int) { x -= 0.1 * (g + 0.01 * x); });
}

// A rate that float16 does not hold.
TEST(StepTest, TheRateOf16BitParametersIsNotRoundedTo16Bits) {
  SessionBench bench;
  const auto put = [&](const std::string& name, float value, bool requires_grad) {
    const Float16 element = value;
    Tensor array = AllocateTensor(bench.session().stream(), {DType::kFloat16, {1}});
    bench.session().stream().Upload(&element, *array.buffer(), sizeof(element));
    bench.Do([&](Transaction& t) { t.Put({{name, array}}, requires_grad); });
  };
  put("w", 1, true);
  put("grad/w", 60000, false);
  bench.Do([](Transaction& t) { t.Step({.optimizer = Sgd{.lr = 0x1p-26}}); });
  const Tensor& w = bench.session().names().at("w").tensor().tensor();
  EXPECT_EQ(float(*w.data<Float16>()), float(Float16(1 - 60000 * 0x1p-26f)));
}

TEST(StepTest, Momentum) {
  double v = 0;
  ExpectSteps(Momentum{.lr = 0.1, .momentum = 0.9, .dampening = 0.5, .weight_decay = 0.01},
              [&](double& x, double g, int t) {
                v = 0.9 * v + (t == 0 ? 1 : 0.5) * (g + 0.01 * x);
                x -= 0.1 * v;
              });
}

TEST(StepTest, NesterovMomentum) {
  double v = 0;
  ExpectSteps(Momentum{.lr = 0.1, .momentum = 0.9, .nesterov = true},
              [&](double& x, double g, int) {
                v = 0.9 * v + g;
                x -= 0.1 * (g + 0.9 * v);
              });
}

// Adam's move; the weight decay is added by the caller.
struct AdamState {
  double v = 0;
  double h = 0;
  double Move(double g, int t) {
    v = 0.9 * v + 0.1 * g;
    h = 0.99 * h + 0.01 * g * g;
    return 0.1 * (v / (1 - std::pow(0.9, t + 1))) /
           (std::sqrt(h / (1 - std::pow(0.99, t + 1))) + 1e-3);
  }
};

TEST(StepTest, Adam) {
  AdamState state;
  ExpectSteps(Adam{.lr = 0.1, .beta2 = 0.99, .epsilon = 1e-3, .weight_decay = 0.01},
              [&](double& x, double g, int t) { x -= state.Move(g + 0.01 * x, t); });
}

TEST(StepTest, AdamW) {
  AdamState state;
  ExpectSteps(AdamW{.lr = 0.1, .beta2 = 0.99, .epsilon = 1e-3, .weight_decay = 0.01},
              [&](double& x, double g, int t) {
                x *= 1 - 0.1 * 0.01;
                x -= state.Move(g, t);
              });
}

TEST(StepTest, Adagrad) {
  double h = 0;
  ExpectSteps(Adagrad{.lr = 0.1, .lr_decay = 0.2, .epsilon = 1e-3, .weight_decay = 0.01},
              [&](double& x, double g, int t) {
                const double decayed = g + 0.01 * x;
                h += decayed * decayed;
                x -= 0.1 / (1 + t * 0.2) * decayed / (std::sqrt(h) + 1e-3);
              });
}

class ClippingTest : public ::testing::Test {
 protected:
  // What SGD with rate 1 and this clipping subtracts from a and b.
  std::vector<double> Moves(double clip_value, double clip_norm) {
    bench_.Put("a", {2}, {0, 0}, true);
    bench_.Put("b", {}, {0}, true);
    bench_.Put("grad/a", {2}, {3, -4});
    bench_.Put("grad/b", {}, {12});
    bench_.Do([&](Transaction& t) {
      t.Step({.optimizer = Sgd{.lr = 1}, .clip_value = clip_value, .clip_norm = clip_norm});
    });
    return {-bench_.Read("a")[0], -bench_.Read("a")[1], -bench_.Read("b")[0]};
  }
  SessionBench bench_;
};

TEST_F(ClippingTest, LeavesGradientsWithinTheBounds) {
  EXPECT_EQ(Moves(0, 0), (std::vector<double>{3, -4, 12}));
  EXPECT_EQ(Moves(20, 20), (std::vector<double>{3, -4, 12}));
}

TEST_F(ClippingTest, ClipsByValueThenByCommonNorm) {
  EXPECT_EQ(Moves(3.5, 0), (std::vector<double>{3, -3.5, 3.5}));
  const std::vector<double> scaled = Moves(0, 6.5);
  EXPECT_NEAR(scaled[0], 1.5, 1e-6);
  EXPECT_NEAR(scaled[1], -2, 1e-6);
  EXPECT_NEAR(scaled[2], 6, 1e-6);
}

TEST_F(ClippingTest, RefusesNegativeBounds) {
  EXPECT_EQ(ErrorOf([&] { Moves(-1, 0); }),
            "INVALID_ARGUMENT: clip_value is -1, must be in [0, inf]");
}

TEST(StepArgumentsTest, AreChecked) {
  SessionBench bench;
  bench.Put("w", {1}, {1}, /*requires_grad=*/true);
  bench.Put("c", {1}, {1});
  bench.Put("grad/w", {1}, {1});
  const auto step = [&](StepArgs args) {
    return ErrorOf([&] { bench.Do([&](Transaction& t) { t.Step(args); }); });
  };
  EXPECT_EQ(step({.optimizer = Sgd{.lr = -1}}), "INVALID_ARGUMENT: lr is -1, must be in [0, inf]");
  EXPECT_EQ(step({.optimizer = Sgd{.lr = NAN}}),
            "INVALID_ARGUMENT: lr is nan, must be in [0, inf]");
  EXPECT_TRUE(step({.optimizer = Adam{.lr = 1, .beta1 = 1}})
                  .starts_with("INVALID_ARGUMENT: beta1 is 1, must be in [0, 0.9999"));
  EXPECT_EQ(step({.parameters = {"c"}, .optimizer = Sgd{.lr = 1}}),
            "NO_GRAPH: 'c' is not a leaf that requires grad");
  EXPECT_EQ(step({.parameters = {"absent"}, .optimizer = Sgd{.lr = 1}}),
            "TENSOR_NOT_FOUND: there is no tensor 'absent'");
  EXPECT_EQ(bench.Read("w")[0], 1);
}

}  // namespace
}  // namespace gradwire
