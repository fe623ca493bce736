// Sessions over many commands: what a failed one leaves behind, what a loop holds, programs, names.
#include "session/session.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/unit/error_of.h"
#include "tests/unit/session_bench.h"

namespace gradwire {
namespace {

using testing::ErrorOf;
using testing::MakeNode;
using testing::SessionBench;

using Doubles = std::vector<double>;

// loss = sum((x * w)^2), with w a leaf.
class SessionTest : public ::testing::Test {
 protected:
  SessionTest() {
    bench_.Put("x", {2}, {1, 2});
    bench_.Put("w", {2}, {3, 4}, /*requires_grad=*/true);
  }
  static std::vector<NodeDef> Loss() {
    return {MakeNode("Mul", {"x", "w"}, {"h"}), MakeNode("Mul", {"h", "h"}, {"s"}),
            MakeNode("ReduceSum", {"s"}, {"loss"}, {{"keepdims", int64_t{0}}})};
  }
  static StepArgs SgdStep() { return {.optimizer = Sgd{.lr = 0.1}, .zero_grad = true}; }

  SessionBench bench_;
};

TEST_F(SessionTest, WithoutCommitNothingHappens) {
  {
    Transaction t(bench_.session(), [] {});
    t.Put({{"y", bench_.Array({}, {1})}}, false);
    t.Forward({.nodes = Loss()});
    t.Delete({"x"}, false);
    EXPECT_EQ(t.ListTensors("").size(), 5u);  // h, loss, s, w, y
    EXPECT_EQ(ErrorOf([&] { t.DescribeTensor("x"); }), "TENSOR_NOT_FOUND: there is no tensor 'x'");
  }
  EXPECT_EQ(bench_.session().names().size(), 2u);
}

TEST_F(SessionTest, ACommandThatFailsWhileItRunsChangesNothing) {
  bench_.Forward(Loss());
  const int64_t used = bench_.used();
  for (int last = 0; last < 20; ++last) {
    int left = last;
    const auto stop = [&] {
      if (left-- == 0) throw Error(reason::kCancelled, "stopped");
    };
    const std::string error = ErrorOf([&] {
      Transaction t(bench_.session(), stop);
      t.Backward({.roots = {"loss"}});
      t.Step(SgdStep());
      t.Commit();
    });
    if (error == "no error") {
      EXPECT_GT(last, 3);
      EXPECT_EQ(bench_.Read("w"), (Doubles{3 - 0.1 * 6, 4 - 0.1 * 32}));
      return;
    }
    EXPECT_EQ(error, "CANCELLED: stopped");
    EXPECT_EQ(bench_.Read("w"), (Doubles{3, 4}));
    EXPECT_FALSE(bench_.has("grad/w"));
    EXPECT_EQ(bench_.used(), used);
  }
  FAIL() << "was never let through";
}

TEST_F(SessionTest, ATrainingLoopHoldsNoMoreThanItsFirstRound) {
  int64_t used = 0;
  for (int i = 0; i < 20; ++i) {
    bench_.Do([](Transaction& t) {
      t.Forward({.nodes = Loss()});
      t.Backward({.roots = {"loss"}});
      t.Step({.optimizer = AdamW{.lr = 0.1}, .clip_norm = 1, .zero_grad = true});
    });
    if (i == 0) used = bench_.used();
    EXPECT_EQ(bench_.used(), used) << i;
  }
}

TEST_F(SessionTest, RunningStatisticsKeepNoGraphs) {
  bench_.Put("data", {4, 1}, {1, 2, 3, 4});
  bench_.Put("scale", {1}, {1}, /*requires_grad=*/true);
  bench_.Put("bias", {1}, {0}, /*requires_grad=*/true);
  bench_.Put("mean", {1}, {0});
  bench_.Put("var", {1}, {1});
  int64_t used = 0;
  for (int i = 0; i < 5; ++i) {
    bench_.Forward({MakeNode("BatchNormalization", {"data", "scale", "bias", "mean", "var"},
                             {"y", "mean", "var"}, {{"training_mode", int64_t{1}}})});
    if (i == 0) used = bench_.used();
    EXPECT_EQ(bench_.used(), used) << i;
  }
  EXPECT_NEAR(bench_.Read("mean")[0], 2.5 * (1 - std::pow(double{0.9F}, 5)), 1e-12);
  EXPECT_FALSE(bench_.session().names().at("mean").tensor().requires_grad());
}

TEST_F(SessionTest, ErrorsSayWhichNode) {
  std::vector<NodeDef> nodes = Loss();
  nodes[1] = MakeNode("MatMul", {"h", "missing"}, {"s"});
  nodes[1].label = "fc1";
  nodes[1].index = 1;
  Transaction t(bench_.session(), [] {});
  EXPECT_EQ(ErrorOf([&] { t.Forward({.nodes = nodes}); }),
            "TENSOR_NOT_FOUND: node 1 'fc1' (MatMul): there is no tensor 'missing'");
  nodes[1] = MakeNode("Nope", {"h"}, {"s"});
  nodes[1].index = 1;
  EXPECT_EQ(ErrorOf([&] { t.Forward({.nodes = nodes}); }),
            "OP_UNSUPPORTED: node 1 (Nope): operator Nope is not supported");
}

TEST_F(SessionTest, NamesAreLimited) {
  for (const size_t length : {size_t{0}, size_t{513}}) {
    EXPECT_EQ(
        ErrorOf([&] { bench_.Put(std::string(length, 'a'), {}, {1}); }),
        "INVALID_ARGUMENT: a tensor's name has 1 to 512 bytes, got " + std::to_string(length));
  }
}

TEST_F(SessionTest, ProgramsRunWithBindings) {
  Program program{.name = "p",
                  .nodes = {MakeNode("Mul", {"a", "k"}, {"b"})},
                  .outputs = {{.name = "b"}},
                  .parameters = {{"k", "p/k"}}};
  bench_.Do([&](Transaction& t) {
    t.LoadProgram(program, {{"k", bench_.Array({}, {10})}}, /*trainable=*/true);
    t.Forward({.program = "p", .bindings = {{"a", "x"}, {"b", "out"}}});
  });
  EXPECT_EQ(bench_.Read("out"), (Doubles{10, 20}));
  EXPECT_TRUE(bench_.session().names().at("p/k").tensor().leaf());
  bench_.Do([](Transaction& t) { t.UnloadProgram("p"); });
  EXPECT_EQ(ErrorOf([&] { bench_.Do([](Transaction& t) { t.Forward({.program = "p"}); }); }),
            "PROGRAM_NOT_FOUND: there is no program 'p'");
}

TEST(SessionQuotaTest, ACommandBeyondTheQuotaLeavesTheSessionUsable) {
  SessionBench bench({.lease = std::chrono::hours(1), .max_bytes = 4096});
  bench.Put("x", {128}, Doubles(128, 2.0));
  const int64_t used = bench.used();
  EXPECT_TRUE(ErrorOf([&] {
                bench.Forward({MakeNode("Neg", {"x"}, {"a"}), MakeNode("Exp", {"x"}, {"b"}),
                               MakeNode("Abs", {"x"}, {"c"}), MakeNode("Sqrt", {"x"}, {"d"})});
              }).starts_with("QUOTA_EXCEEDED: "));
  EXPECT_EQ(bench.used(), used);
  bench.Forward({MakeNode("Neg", {"x"}, {"a"})});
  EXPECT_EQ(bench.Read("a")[0], -2);
}

TEST(ResolveOpTest, SaysWhyAnOperatorCannotRun) {
  NodeDef node{.op_type = "LayerNormalization"};
  ResolveOp(node, "ai.onnx", {{"", 17}});
  EXPECT_FALSE(node.refusal.has_value());
  ResolveOp(node, "", {{"", 16}});
  EXPECT_EQ(node.refusal->message(), "operator LayerNormalization is not supported in opset 16");
  ResolveOp(node, "", {{"", 1000}});
  EXPECT_EQ(node.refusal->message(),
            "opset 1000 is newer than 27, the newest that this server knows");
  ResolveOp(node, "com.example", {});
  EXPECT_EQ(node.refusal->message(), "operator com.example::LayerNormalization is not supported");
}

}  // namespace
}  // namespace gradwire
