#include "exec/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "graph/kernel.h"
#include "graph/op_call.h"
#include "tests/ops/bench.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::Bench;
using testing::ErrorOf;

// What the kernel saw: whether the last call took over its input's buffer, and the most bytes that
// the stream held during a call.
struct Seen {
  bool in_place = false;
  int64_t peak = 0;
} seen;

Specs SameSpec(const OpCall& call) { return {call.spec(0)}; }

// Output = sum of inputs + 1, in float64.
void SumPlusOne(KernelContext& k) {
  seen.in_place = k.in<double>(0) == k.out<double>(0);
  seen.peak = std::max(seen.peak, k.stream().quota()->used());
  for (int64_t i = 0; i < k.output(0).numel(); ++i) {
    double sum = 1;
    for (size_t n = 0; n < k.num_inputs(); ++n) sum += k.in<double>(n)[i];
    k.out<double>(0)[i] = sum;
  }
}

void Refuse(KernelContext&) { throw Error(reason::kInvalidArgument, "no"); }

Values PassOn(const VjpCall& call) { return Values(call.num_inputs(), call.dy()); }

constexpr Arity kAnyInputs{1, kVariadic};

GRADWIRE_OP({.name = "Plain",
             .domain = "exectest",
             .inputs = kAnyInputs,
             .infer = SameSpec,
             .cpu = SumPlusOne,
             .vjp = PassOn});
GRADWIRE_OP({.name = "InPlace",
             .domain = "exectest",
             .inputs = kAnyInputs,
             .infer = SameSpec,
             .cpu = SumPlusOne,
             .vjp = PassOn,
             .in_place = true});
GRADWIRE_OP({.name = "Saving",
             .domain = "exectest",
             .inputs = kAnyInputs,
             .infer = SameSpec,
             .cpu = SumPlusOne,
             .vjp = PassOn,
             .saves = kSaveInputs,
             .in_place = true});
GRADWIRE_OP(
    {.name = "View", .domain = "exectest", .infer = SameSpec, .vjp = PassOn, .alias = true});
GRADWIRE_OP({.name = "Refuse",
             .domain = "exectest",
             .infer = SameSpec,
             .cpu = Refuse,
             .differentiable = false});

constexpr int64_t kLength = 1024;
constexpr int64_t kArrayBytes = kLength * sizeof(double);

class ExecutorTest : public ::testing::Test {
 protected:
  Value Array(bool leaf = false) {
    return bench_.Make({kLength}, std::vector<double>(kLength, 0.0), DType::kFloat64, leaf);
  }
  // Op after op, the first named innermost. Temporaries of one expression would count as holders
  // until its end, so tests of donation build here.
  Value Nested(Value x, const std::vector<std::string>& ops) {
    for (const std::string& op : ops) x = Call("exectest::" + op, {x});
    return x;
  }
  static Value Chain(Value x, std::string_view op, int length) {
    for (int i = 0; i < length; ++i) x = Call(op, {x});
    return x;
  }

  Bench bench_;
  TraceScope scope_{bench_.trace()};
};

TEST_F(ExecutorTest, PlanPutsEachNodeOnceAndAfterWhatItReads) {
  const Value x = Array();
  const Value a = Call("exectest::Plain", {x});
  const Value b = Call("exectest::Plain", {a});
  const Value c = Call("exectest::Plain", {a, b});
  const Value d = Call("exectest::Plain", {c, a, b});
  const Schedule plan = MakeSchedule(std::array{d, b});
  EXPECT_EQ(plan, (std::vector<NodePtr>{a.node(), b.node(), c.node(), d.node()}));
  EXPECT_EQ(bench_.Read(d)[0], 1 + 1 + 2 + 4);
  EXPECT_TRUE(MakeSchedule(std::array{d, b}).empty());
}

TEST_F(ExecutorTest, RunsOnlyWhatTheTargetsNeed) {
  const Value a = Call("exectest::Plain", {Array()});
  const Value b = Call("exectest::Plain", {a});
  bench_.Run({a});
  EXPECT_TRUE(a.ready());
  EXPECT_FALSE(b.ready());
}

TEST_F(ExecutorTest, DeepChainsNeitherRecurseNorLeak) {
  constexpr int kDepth = 200000;
  const Value x = bench_.Make({}, {0.0});
  const Value leaf = bench_.Make({}, {0.0}, DType::kFloat64, /*leaf=*/true);
  const int64_t before = bench_.used();
  EXPECT_EQ(bench_.Read(Chain(x, "exectest::Plain", kDepth))[0], kDepth);
  EXPECT_EQ(bench_.Read(Chain(leaf, "exectest::Saving", kDepth))[0], kDepth);
  Chain(x, "exectest::Plain", kDepth);  // never run
  EXPECT_EQ(bench_.used(), before);
}

TEST_F(ExecutorTest, ChainsHoldTwoArraysAtATime) {
  const Value last = Chain(Array(), "exectest::Plain", 50);
  seen.peak = 0;
  bench_.Run({last});
  EXPECT_EQ(seen.peak, 2 * kArrayBytes);
  EXPECT_EQ(bench_.used(), kArrayBytes);
}

TEST_F(ExecutorTest, InPlaceChainsHoldOneArray) {
  const Value last = Chain(Array(), "exectest::InPlace", 50);
  seen.peak = 0;
  bench_.Run({last});
  EXPECT_EQ(seen.peak, kArrayBytes);
}

TEST_F(ExecutorTest, RecordedNodesKeepOnlyWhatTheySave) {
  const Value x = Array(/*leaf=*/true);
  const Value plain = Chain(x, "exectest::Plain", 10);
  bench_.Run({plain});
  EXPECT_EQ(bench_.used(), 2 * kArrayBytes);
  const Value saving = Chain(x, "exectest::Saving", 10);
  bench_.Run({saving});
  EXPECT_EQ(bench_.used(), 12 * kArrayBytes);
}

TEST_F(ExecutorTest, TakesOverTheBufferOfAnUnusedInput) {
  const Value y = Nested(Array(), {"Plain", "InPlace"});
  bench_.Run({y});
  EXPECT_TRUE(seen.in_place);
}

TEST_F(ExecutorTest, LeavesInputsThatOthersHold) {
  const Value x = Array();
  bench_.Run({Call("exectest::InPlace", {x})});
  EXPECT_FALSE(seen.in_place);
  EXPECT_EQ(bench_.Read(x)[0], 0);

  const Value a = Call("exectest::Plain", {x});
  const Value early = Call("exectest::InPlace", {a});
  const Value sum = Call("exectest::Plain", {early, a});
  bench_.Run({early});
  EXPECT_FALSE(seen.in_place);
  EXPECT_EQ(bench_.Read(sum)[0], 2 + 1 + 1);
}

TEST_F(ExecutorTest, LeavesInputsThatAVjpReads) {
  const Value x = Array(/*leaf=*/true);
  const Value saved = Nested(x, {"Plain", "Saving"});
  bench_.Run({saved});
  EXPECT_FALSE(seen.in_place);
  const Value unsaved = Nested(x, {"Saving", "InPlace"});
  bench_.Run({unsaved});
  EXPECT_TRUE(seen.in_place);
}

TEST_F(ExecutorTest, LeavesStorageThatAnAliasShares) {
  const Value a = Nested(Array(), {"Plain"});
  const Value view = Nested(a, {"View"});
  bench_.Run({view});
  EXPECT_EQ(view.tensor().buffer(), a.tensor().buffer());
  const Value shared = Nested(a, {"View", "InPlace"});
  bench_.Run({shared});
  EXPECT_FALSE(seen.in_place);
  const Value unshared = Nested(Array(), {"Plain", "View", "InPlace"});
  bench_.Run({unshared});
  EXPECT_TRUE(seen.in_place);
}

TEST_F(ExecutorTest, NamesOperatorAndNodeInErrors) {
  const OpDef& refuse = Registry::Global().Latest("Refuse", "exectest");
  bench_.trace().origin().label = "fc1";
  const Value y = Apply(refuse, {Array()}, {})[0];
  bench_.trace().origin().label.clear();
  EXPECT_EQ(ErrorOf([&] { bench_.Run({y}); }), "INVALID_ARGUMENT: 'fc1' (Refuse): no");
  EXPECT_EQ(ErrorOf([&] { bench_.Run({Call("exectest::Refuse", {Array()})}); }),
            "INVALID_ARGUMENT: (Refuse): no");
}

TEST(ExecutorStopTest, StopsBetweenOperators) {
  int left = 3;
  Bench bench([&] {
    if (left-- == 0) throw Error(reason::kCancelled, "stopped");
  });
  const TraceScope scope(bench.trace());
  std::vector<Value> steps{bench.Make({}, {0.0})};
  for (int i = 0; i < 10; ++i) steps.push_back(Call("exectest::Plain", {steps.back()}));
  EXPECT_EQ(ErrorOf([&] { bench.Run({steps.back()}); }), "CANCELLED: stopped");
  for (size_t i = 0; i < steps.size(); ++i) EXPECT_EQ(steps[i].ready(), i <= 3) << i;
  left = 100;
  EXPECT_EQ(bench.Read(steps.back())[0], 10);
}

}  // namespace
}  // namespace gradwire
