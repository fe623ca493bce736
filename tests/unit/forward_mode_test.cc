#include "autograd/forward_mode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "graph/formula.h"
#include "graph/kernel.h"
#include "tests/ops/bench.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::Bench;
using testing::ErrorOf;

// y = x^2, whose derivative has none.
Specs SameSpec(const OpCall& call) { return {call.spec(0)}; }
void SquareCpu(KernelContext& k) {
  for (int64_t i = 0; i < k.output(0).numel(); ++i) {
    k.out<double>(0)[i] = k.in<double>(0)[i] * k.in<double>(0)[i];
  }
}
void DoubleProductCpu(KernelContext& k) {
  for (int64_t i = 0; i < k.output(0).numel(); ++i) {
    k.out<double>(0)[i] = 2 * k.in<double>(0)[i] * k.in<double>(1)[i];
  }
}
Values FirstOrderVjp(const VjpCall& call) {
  return {Call("jvptest::DoubleProduct", {call.dy(), call.input(0)})};
}
GRADWIRE_OP({.name = "DoubleProduct",
             .domain = "jvptest",
             .inputs = 2,
             .infer = SameSpec,
             .cpu = DoubleProductCpu,
             .differentiable = false});
GRADWIRE_OP({.name = "FirstOrder",
             .domain = "jvptest",
             .infer = SameSpec,
             .cpu = SquareCpu,
             .vjp = FirstOrderVjp,
             .saves = kSaveInputs});

class ForwardModeTest : public ::testing::Test {
 protected:
  Value Vector(const std::vector<double>& elements, bool leaf = true) {
    return bench_.Make({static_cast<int64_t>(elements.size())}, elements, DType::kFloat64, leaf);
  }
  std::vector<double> Read(const Value& value) { return bench_.Read(value); }

  Bench bench_;
  TraceScope scope_{bench_.trace()};
};

TEST_F(ForwardModeTest, TangentsOfSeveralOutputsAndInputs) {
  const Value x = Vector({1, 2});
  const Value w = Vector({3, 5});
  const Value product = x * x * w;
  const Value sum = Sum(x, {0}, false);
  const auto result = Jvp(std::array{product, sum}, std::array{x, w},
                          std::array{Vector({10, 1}, false), Vector({0, 7}, false)}, {});
  EXPECT_EQ(Read(result.gradients[0]), (std::vector<double>{2 * 1 * 3 * 10, 2 * 2 * 5 + 4 * 7}));
  EXPECT_EQ(Read(result.gradients[1]), (std::vector<double>{11}));
  EXPECT_FALSE(result.gradients[0].requires_grad());
}

TEST_F(ForwardModeTest, TangentsAreZeroWhereNothingDepends) {
  const Value x = Vector({1, 2});
  const Value w = Vector({3, 5});
  const auto result = Jvp(std::array{w * w}, std::array{x}, std::array{Vector({1, 1}, false)}, {});
  EXPECT_EQ(Read(result.gradients[0]), (std::vector<double>{0, 0}));
}

TEST_F(ForwardModeTest, AnInputMayBeAnIntermediateOrAnOutput) {
  const Value x = Vector({1, 2});
  const Value a = Exp(x);
  const Value t = Vector({10, 100}, false);
  const auto result = Jvp(std::array{a * a, a}, std::array{a}, std::array{t}, {});
  EXPECT_NEAR(Read(result.gradients[0])[1], 2 * std::exp(2.0) * 100, 1e-9);
  EXPECT_EQ(Read(result.gradients[1]), (std::vector<double>{10, 100}));
}

TEST_F(ForwardModeTest, TangentsCanBeDifferentiated) {
  const Value x = Vector({2});
  const Value y = x * x * x;
  const Value t = Vector({1}, false);
  const auto first = Jvp(std::array{y}, std::array{x}, std::array{t}, {.create_graph = true});
  const auto second =
      Jvp(std::array{first.gradients[0]}, std::array{x}, std::array{t}, {.create_graph = true});
  const auto third = Jvp(std::array{second.gradients[0]}, std::array{x}, std::array{t}, {});
  EXPECT_EQ(Read(first.gradients[0])[0], 12);
  EXPECT_EQ(Read(second.gradients[0])[0], 12);
  EXPECT_EQ(Read(third.gradients[0])[0], 6);
}

TEST_F(ForwardModeTest, FreesTheGraphUnlessItIsRetained) {
  const Value x = Vector({2});
  const Value y = x * x;
  const Value t = Vector({1}, false);
  bench_.Run({y});
  EXPECT_TRUE(
      Jvp(std::array{y}, std::array{x}, std::array{t}, {.retain_graph = true}).freed.empty());
  EXPECT_THAT(Jvp(std::array{y}, std::array{x}, std::array{t}, {}).freed,
              ::testing::Contains(y.grad_fn()));
  EXPECT_THAT(ErrorOf([&] { Jvp(std::array{y}, std::array{x}, std::array{t}, {}); }),
              ::testing::StartsWith("GRAPH_FREED"));
}

TEST_F(ForwardModeTest, NamesTheOperatorThatLacksASecondDerivative) {
  const Value x = Vector({3});
  const Value y = Call("jvptest::FirstOrder", {x});
  EXPECT_EQ(Read(Backward(std::array{y}, {}, std::array{x}, {.retain_graph = true}).gradients[0]),
            (std::vector<double>{6}));
  const std::string text =
      "NOT_DIFFERENTIABLE: the derivative for 'DoubleProduct' is not implemented";
  EXPECT_EQ(ErrorOf([&] { Jvp(std::array{y}, std::array{x}, std::array{Vector({1}, false)}, {}); }),
            text);
  EXPECT_EQ(ErrorOf([&] { Hvp(y, std::array{x}, std::array{Vector({1}, false)}, {}); }), text);
}

TEST_F(ForwardModeTest, HessianTimesVectors) {
  const Value x = Vector({1, 2});
  const Value w = Vector({3, 5});
  const Value y = Sum(x * x * w, {0}, false);  // d2/dx2 = 2w, d2/dxdw = 2x
  const auto result =
      Hvp(y, std::array{x, w}, std::array{Vector({1, 10}, false), Vector({0, 100}, false)}, {});
  EXPECT_EQ(Read(result.gradients[0]), (std::vector<double>{6, 100 + 400}));
  EXPECT_EQ(Read(result.gradients[1]), (std::vector<double>{2, 40}));
}

TEST_F(ForwardModeTest, TheHessianOfALinearFunctionIsZero) {
  const Value x = Vector({1, 2});
  const Value y = Sum(x + x, {0}, false);
  const auto result = Hvp(y, std::array{x}, std::array{Vector({1, 1}, false)}, {});
  EXPECT_EQ(Read(result.gradients[0]), (std::vector<double>{0, 0}));
  EXPECT_THAT(ErrorOf([&] { Hvp(x * x, std::array{x}, std::array{x}, {}); }),
              ::testing::StartsWith("SHAPE_MISMATCH: grad can be implicitly created only for"));
}

TEST_F(ForwardModeTest, HvpFreesWhatBothWalksUsed) {
  const Value x = Vector({3});
  const Value square = x * x;
  const Value y = square * Vector({2}, false);  // the second walk does not come to this node
  const auto result = Hvp(y, std::array{x}, std::array{Vector({1}, false)}, {});
  EXPECT_TRUE(square.grad_fn()->freed());
  EXPECT_TRUE(y.grad_fn()->freed());
  EXPECT_EQ(Read(result.gradients[0])[0], 4);
}

}  // namespace
}  // namespace gradwire
