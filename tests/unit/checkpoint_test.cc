#include "autograd/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "autograd/backward.h"
#include "graph/formula.h"
#include "tests/ops/bench.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::Bench;
using testing::ErrorOf;

class CheckpointTest : public ::testing::Test {
 protected:
  Value Leaf(const std::vector<double>& elements) {
    return bench_.Make({static_cast<int64_t>(elements.size())}, elements, DType::kFloat64, true);
  }
  std::vector<double> Read(const Value& value) { return bench_.Read(value); }
  static Value Grad(const Value& y, const Value& x, BackwardOptions options = {}) {
    return Backward(std::array{y}, {}, std::array{x}, options).gradients[0];
  }

  Bench bench_;
  TraceScope scope_{bench_.trace()};
};

// sum(exp(sin(x)) * w), and the sines
Values Waves(const Values& in) {
  const Value sines = Sin(in[0]);
  return {Sum(Exp(sines) * in[1], {0}, false), sines};
}

TEST_F(CheckpointTest, GradientsOfEveryOrderAreTheSame) {
  const Value x = Leaf({0.3, 1.1});
  const Value w = Leaf({2, -1});
  std::array<std::vector<double>, 3> plain, again;
  for (auto* orders : {&plain, &again}) {
    const Value y = orders == &plain ? Waves({x, w})[0] : Checkpoint(Waves, {x, w})[0];
    const Value first = Grad(y, x, {.create_graph = true});
    const Value second = Grad(Sum(first, {0}, false), x, {.create_graph = true});
    const Value mixed = Grad(Sum(second, {0}, false), w);
    *orders = {Read(first), Read(second), Read(mixed)};
  }
  EXPECT_EQ(plain, again);
}

TEST_F(CheckpointTest, GradientsReachWhatIsBehindAnInputOnce) {
  const Value x = Leaf({0.5});
  const Value a = x * x;
  const Value b = a * 3.0;  // depends on a, another input
  const auto product = [](const Values& in) -> Values { return {in[0] * in[1]}; };
  const Value plain = Grad(product({a, b})[0], x, {.retain_graph = true});
  EXPECT_EQ(Read(Grad(Checkpoint(product, {a, b})[0], x, {.retain_graph = true})), Read(plain));
  const Value first = Grad(Checkpoint(product, {a, b})[0], x, {.create_graph = true});
  EXPECT_EQ(Read(first), Read(plain));
  EXPECT_EQ(Read(Grad(first, x)), (std::vector<double>{36 * 0.25}));
}

TEST_F(CheckpointTest, KeepsOnlyItsInputs) {
  constexpr int64_t kLength = 1024;
  constexpr int64_t kBytes = kLength * 8;
  const Value x = bench_.Make({kLength}, std::vector<double>(kLength, 0.5), DType::kFloat64, true);
  const auto chain = [](const Values& in) -> Values {
    Value y = in[0];
    for (int i = 0; i < 20; ++i) y = Sin(y);
    return {y};
  };
  const Value y = Checkpoint(chain, {x})[0];
  bench_.Run({y});
  EXPECT_EQ(bench_.used(), 2 * kBytes);
  const Value plain = chain({x})[0];
  bench_.Run({plain});
  EXPECT_EQ(bench_.used(), 22 * kBytes);
}

TEST_F(CheckpointTest, RandomNumbersAreTheSameAgain) {
  const Value x = bench_.Make({1000}, std::vector<double>(1000, 1.0), DType::kFloat64, true);
  const auto drop = [](const Values& in) -> Values {
    return {Call("Dropout", {in[0], Scalar(0.5, DType::kFloat64), Full({}, 1, DType::kBool)})};
  };
  const Value y = Checkpoint(drop, {x})[0];
  const std::vector<double> kept = Read(y);
  const uint64_t state = bench_.trace().random_state();
  EXPECT_EQ(Read(Grad(Sum(y, {0}, false), x)), kept);
  EXPECT_EQ(bench_.trace().random_state(), state) << "later draws do not depend on it";
  EXPECT_NE(Read(Checkpoint(drop, {x})[0]), kept);
}

TEST_F(CheckpointTest, ResultsWithoutAGradientStayWithoutAGraph) {
  const Value x = Leaf({1, -1});
  const auto both = [](const Values& in) -> Values {
    return {in[0] * 2.0, Call("Shape", {in[0]}), in[1] * 2.0, in[0]};
  };
  const Value constant = bench_.Make({1}, {3});
  const Values results = Checkpoint(both, {x, constant});
  EXPECT_TRUE(results[0].requires_grad());
  EXPECT_FALSE(results[1].requires_grad());
  EXPECT_FALSE(results[2].requires_grad());
  EXPECT_TRUE(results[3].requires_grad());
  EXPECT_EQ(Read(Grad(Sum(results[0] * results[3], {0}, false), x)), (std::vector<double>{4, -4}));
  EXPECT_FALSE(Checkpoint(both, {constant, constant})[0].requires_grad());
}

TEST_F(CheckpointTest, ASecondWalkNeedsTheInputs) {
  const Value x = Leaf({1, 2});
  const Value y = Checkpoint(Waves, {x, x})[0];
  bench_.Run({y});
  bench_.Run({Grad(y, x, {.retain_graph = true})});
  const BackwardResult last = Backward(std::array{y}, {}, std::array{x}, {});
  bench_.Run({last.gradients[0]});
  for (const NodePtr& node : last.freed) node->DropFreed();
  EXPECT_THAT(ErrorOf([&] { Grad(y, x); }), ::testing::StartsWith("GRAPH_FREED"));
}

TEST_F(CheckpointTest, OnlyWhatIsWantedIsDifferentiated) {
  const Value x = Leaf({1, 2});
  const Value w = Leaf({3, 4});
  const Value sines = Checkpoint(Waves, {x, w})[1];
  const auto result =
      Backward(std::array{Sum(sines, {0}, false)}, {}, std::array{x, w}, {.retain_graph = true});
  EXPECT_EQ(Read(result.gradients[0]), (std::vector<double>{std::cos(1.0), std::cos(2.0)}));
  EXPECT_FALSE(result.gradients[1]);
}

}  // namespace
}  // namespace gradwire
