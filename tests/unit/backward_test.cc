#include "autograd/backward.h"

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

Specs SameSpec(const OpCall& call) { return {call.spec(0)}; }
void Copy(KernelContext& k) { *k.out<double>(0) = *k.in<double>(0); }
Values PassOn(const VjpCall& call) { return {call.dy()}; }
Values ReadsInput(const VjpCall& call) { return {call.dy() * call.input(0)}; }

GRADWIRE_OP({.name = "Same", .domain = "gradtest", .infer = SameSpec, .cpu = Copy, .vjp = PassOn});
GRADWIRE_OP({.name = "Undeclared",
             .domain = "gradtest",
             .infer = SameSpec,
             .cpu = Copy,
             .vjp = ReadsInput});

class BackwardTest : public ::testing::Test {
 protected:
  Value Leaf(const std::vector<double>& elements) {
    return bench_.Make({static_cast<int64_t>(elements.size())}, elements, DType::kFloat64, true);
  }
  Value Number(double x, bool leaf = true) { return bench_.Make({}, {x}, DType::kFloat64, leaf); }
  std::vector<double> Read(const Value& value) { return bench_.Read(value); }
  // The gradient of a scalar.
  static Value Grad(const Value& y, const Value& x, BackwardOptions options = {}) {
    return Backward(std::array{y}, {}, std::array{x}, options).gradients[0];
  }

  Bench bench_;
  TraceScope scope_{bench_.trace()};
};

const std::string kFreedText =
    "GRAPH_FREED: Trying to backward through the graph a second time (or directly access saved "
    "tensors after they have already been freed). Saved intermediate values of the graph are freed "
    "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to "
    "backward through the graph a second time or if you need to access saved tensors after calling "
    "backward.";

TEST_F(BackwardTest, SeedsDefaultToOneForOneElement) {
  const Value x = Leaf({1, 2});
  EXPECT_EQ(Read(Grad(Sum(x * x, {0}, false), x)), (std::vector<double>{2, 4}));
  EXPECT_EQ(Read(Grad(Sum(x * x, {0}, true), x)), (std::vector<double>{2, 4}));
  EXPECT_EQ(ErrorOf([&] { Grad(x * x, x); }),
            "SHAPE_MISMATCH: grad can be implicitly created only for scalar outputs, got "
            "float64[2]");
}

TEST_F(BackwardTest, SeedsWeighTheRoots) {
  const Value x = Leaf({1, 2});
  const Value y = x * x;
  const Value seed = bench_.Make({2}, {10, 100});
  const auto result = Backward(std::array{y}, std::array{seed}, std::array{x}, {});
  EXPECT_EQ(Read(result.gradients[0]), (std::vector<double>{20, 400}));
  EXPECT_EQ(
      ErrorOf(
          [&] { Backward(std::array{x + x}, std::array{Number(1, false)}, std::array{x}, {}); }),
      "SHAPE_MISMATCH: Mismatch in shape: grad_output[0] has a shape of [] and output[0] has a "
      "shape of [2].");
}

TEST_F(BackwardTest, SeveralRootsAddUp) {
  const Value x = Number(3);
  const Value y = x * x;
  const Value z = 5.0 * y;
  const auto result =
      Backward(std::array{y, z, x}, std::array{Value(), Number(2, false)}, std::array{x, y}, {});
  EXPECT_EQ(Read(result.gradients[0])[0], 6 + 2 * 30 + 1);
  EXPECT_EQ(Read(result.gradients[1])[0], 1 + 2 * 5);
}

TEST_F(BackwardTest, UsesOfAnArrayAddUp) {
  const Value x = Number(3);
  EXPECT_EQ(Read(Grad(x * x * x + x + x, x))[0], 27 + 2);
}

TEST_F(BackwardTest, SumsDownWhatWasBroadcast) {
  const Value row = Leaf({1, 2});
  const Value matrix = bench_.Make({3, 2}, {1, 2, 3, 4, 5, 6});
  const Value scalar = Number(2);
  const Value y = Sum(matrix * row * scalar, {0, 1}, false);
  const auto result = Backward(std::array{y}, {}, std::array{row, scalar}, {});
  EXPECT_EQ(Read(result.gradients[0]), (std::vector<double>{18, 24}));
  EXPECT_EQ(Read(result.gradients[1]), (std::vector<double>{33}));
}

TEST_F(BackwardTest, CreateGraphGivesHigherOrders) {
  const Value x = Number(2);
  const Value y = x * x * x * x;
  const Value first = Grad(y, x, {.create_graph = true});
  const Value second = Grad(first, x, {.create_graph = true});
  const Value third = Grad(second, x);
  EXPECT_EQ(Read(first)[0], 32);
  EXPECT_EQ(Read(second)[0], 48);
  EXPECT_EQ(Read(third)[0], 48);
  EXPECT_FALSE(third.requires_grad());
  EXPECT_FALSE(Grad(x * x, x).requires_grad());
}

TEST_F(BackwardTest, FreesWhatWasSaved) {
  const Value x = Number(3);
  const Value y = x * x;
  bench_.Run({y});
  const BackwardResult result = Backward(std::array{y}, {}, std::array{x}, {});
  EXPECT_EQ(result.freed, (std::vector<NodePtr>{y.grad_fn()}));
  EXPECT_EQ(Read(result.gradients[0])[0], 6);
  EXPECT_EQ(ErrorOf([&] { Grad(y, x); }), kFreedText);

  y.grad_fn()->MarkFreed(false);  // as when the command failed
  EXPECT_EQ(Read(Grad(y, x))[0], 6);
  for (const NodePtr& node : result.freed) node->DropFreed();
  y.grad_fn()->MarkFreed(false);
  EXPECT_EQ(ErrorOf([&] { Grad(y, x); }), kFreedText);
}

TEST_F(BackwardTest, FreesAfterTheRunWhenTracedBeforeIt) {
  const Value x = Number(3);
  const Value a = Exp(x);
  const Value y = a * a;
  const Value gradient = Grad(y, x);
  EXPECT_NEAR(Read(gradient)[0], 2 * std::exp(6.0), 1e-10);
  EXPECT_EQ(ErrorOf([&] { Grad(y, x); }), kFreedText);
}

TEST_F(BackwardTest, RetainGraphAllowsAnotherWalk) {
  const Value x = Number(3);
  const Value y = x * x;
  const BackwardResult first = Backward(std::array{y}, {}, std::array{x}, {.retain_graph = true});
  EXPECT_TRUE(first.freed.empty());
  EXPECT_EQ(Read(first.gradients[0])[0], 6);
  EXPECT_EQ(Read(Grad(y, x))[0], 6);
}

TEST_F(BackwardTest, GraphsThatSaveNothingWalkTwice) {
  const Value x = Number(3);
  const Value y = x + x + 1.0;
  EXPECT_EQ(Read(Grad(y, x))[0], 2);
  EXPECT_EQ(Read(Grad(y, x))[0], 2);
}

TEST_F(BackwardTest, LeavesPartsThatTheWalkDidNotVisit) {
  const Value x = Number(3);
  const Value w = Number(5);
  const Value shared = x * x;
  const Value y = shared * w;
  EXPECT_EQ(Read(Grad(y, w, {.retain_graph = true}))[0], 9);
  EXPECT_EQ(Read(Grad(y, w))[0], 9);
  EXPECT_EQ(Read(Grad(shared, x))[0], 6);
}

TEST_F(BackwardTest, DifferentiatesWithRespectToAResult) {
  const Value x = Number(3);
  const Value a = x * x;
  const Value y = a * a * x;
  const auto result = Backward(std::array{y}, {}, std::array{a, x, y}, {});
  EXPECT_EQ(Read(result.gradients[0])[0], 54);
  EXPECT_EQ(Read(result.gradients[1])[0], 81 + 54 * 6);
  EXPECT_EQ(Read(result.gradients[2])[0], 1);
}

TEST_F(BackwardTest, GradientsOfUnusedInputsAreAbsent) {
  const Value x = Number(3);
  const Value unused = Number(4);
  const auto result = Backward(std::array{x * x}, {}, std::array{unused, x}, {});
  EXPECT_FALSE(result.gradients[0]);
  EXPECT_TRUE(result.gradients[1]);
}

TEST_F(BackwardTest, RootsNeedAGraph) {
  const std::string text =
      "NO_GRAPH: element 0 of tensors does not require grad and does not have a grad_fn";
  const Value x = Number(3);
  const Value constant = Number(3, false);
  EXPECT_EQ(ErrorOf([&] { Grad(constant, x); }), text);
  EXPECT_EQ(ErrorOf([&] { Grad(Cast(Greater(x, constant), DType::kFloat64), x); }), text);
}

TEST_F(BackwardTest, RulesReadOnlyWhatTheySave) {
  const Value x = Number(3);
  const Value y = Call("gradtest::Undeclared", {x});
  EXPECT_EQ(ErrorOf([&] { Grad(y, x); }),
            "INTERNAL: the VJP of Undeclared reads input 0, which `saves` does not name");
}

TEST_F(BackwardTest, DeepGraphsNeitherRecurseNorLeak) {
  constexpr int kDepth = 200000;
  const Value x = Number(3);
  const int64_t before = bench_.used();
  {
    Value y = x;
    for (int i = 0; i < kDepth; ++i) y = Call("gradtest::Same", {y});
    EXPECT_EQ(Read(Grad(y, x))[0], 1);
    EXPECT_EQ(GraphBehind(std::array{y}).size(), size_t{kDepth});
  }
  EXPECT_EQ(bench_.used(), before);
}

TEST_F(BackwardTest, FindsTheLeavesBehindRoots) {
  const Value a = Number(1);
  const Value b = Number(2);
  const Value unused = Number(3);
  const Value y = (a * b + 1.0) * b;
  const std::vector<Value> leaves = LeavesOf(std::array{y, a});
  ASSERT_EQ(leaves.size(), 2u);
  EXPECT_EQ(EdgeOf(leaves[0]), EdgeOf(a));
  EXPECT_EQ(EdgeOf(leaves[1]), EdgeOf(b));
  EXPECT_FALSE(EdgeOf(a) == EdgeOf(unused));
}

}  // namespace
}  // namespace gradwire
