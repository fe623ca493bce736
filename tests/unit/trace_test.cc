#include "graph/trace.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "graph/kernel.h"
#include "graph/op_call.h"
#include "tests/ops/bench.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::Bench;
using testing::ErrorOf;

Specs SameSpec(const OpCall& call) { return {call.spec(0)}; }

template <int kVersion>
void Version(KernelContext& k) {
  Dispatch(FloatTypes{}, k.output(0).dtype(), [&]<class T>() { *k.out<T>(0) = kVersion; });
}

Values PassOn(const VjpCall& call) { return {call.dy()}; }

Values DecomposeFused(const OpCall& call) { return {Call("tracetest::Since", {call.input(0)})}; }

Specs Vector(const OpCall& call) { return {{DType::kFloat32, {call.attributes().Int("n")}}}; }

void Nothing(KernelContext&) {}

GRADWIRE_OP({.name = "Since",
             .domain = "tracetest",
             .since = 7,
             .attributes = {"axis"},
             .infer = SameSpec,
             .cpu = Version<7>,
             .vjp = PassOn});
GRADWIRE_OP({.name = "Since",
             .domain = "tracetest",
             .since = 1,
             .infer = SameSpec,
             .cpu = Version<1>,
             .vjp = PassOn});
GRADWIRE_OP({.name = "Since",
             .domain = "tracetest",
             .since = 13,
             .inputs = {1, 2},
             .attributes = {"axis"},
             .infer = SameSpec,
             .cpu = Version<13>,
             .vjp = PassOn});
GRADWIRE_OP({.name = "Fused",
             .domain = "tracetest",
             .infer = SameSpec,
             .cpu = Version<99>,
             .decompose = DecomposeFused});
GRADWIRE_OP({.name = "Make",
             .domain = "tracetest",
             .inputs = 0,
             .types = DType::kFloat32,
             .attributes = {"n"},
             .infer = Vector,
             .cpu = Nothing,
             .differentiable = false});
GRADWIRE_OP({.name = "Pair",
             .domain = "tracetest",
             .inputs = {2, kVariadic},
             .infer = SameSpec,
             .cpu = Nothing,
             .differentiable = false});

class TraceTest : public ::testing::Test {
 protected:
  Value Number(double x, DType dtype = DType::kFloat64, bool leaf = false) {
    return bench_.Make({}, {x}, dtype, leaf);
  }
  Values ApplySince(int64_t version, Values inputs, Attributes attributes = {}, int outputs = 1) {
    const OpDef* op = Registry::Global().Find("tracetest", "Since", version);
    return Apply(*op, std::move(inputs), std::move(attributes), outputs);
  }

  Bench bench_;
  TraceScope scope_{bench_.trace()};
};

TEST_F(TraceTest, FindsTheNewestRowNotAboveTheVersion) {
  const Registry& registry = Registry::Global();
  EXPECT_EQ(registry.Find("tracetest", "Since", 1)->since, 1);
  EXPECT_EQ(registry.Find("tracetest", "Since", 6)->since, 1);
  EXPECT_EQ(registry.Find("tracetest", "Since", 7)->since, 7);
  EXPECT_EQ(registry.Find("tracetest", "Since", 12)->since, 7);
  EXPECT_EQ(registry.Find("tracetest", "Since", kMaxOpset)->since, 13);
  EXPECT_EQ(registry.Find("tracetest", "Since", 0), nullptr);
  EXPECT_EQ(registry.Find("tracetest", "Absent", 13), nullptr);
  EXPECT_EQ(registry.Find("", "Since", 13), nullptr);
  EXPECT_EQ(registry.Latest("Since", "tracetest").since, 13);
  EXPECT_EQ(ErrorOf([&] { registry.Latest("Absent", "tracetest"); }),
            "OP_UNSUPPORTED: operator tracetest::Absent is not supported");
  EXPECT_EQ(bench_.Read(ApplySince(12, {Number(0)})[0])[0], 7);
}

TEST_F(TraceTest, AddsKernelsToRowsThatExist) {
  Registry& registry = Registry::Global();
  EXPECT_FALSE(registry.AddKernel("tracetest", "Since", 2, DeviceType::kCuda, Nothing));
  EXPECT_TRUE(registry.AddKernel("tracetest", "Since", 1, DeviceType::kCuda, Nothing));
  EXPECT_EQ(KernelOn(*registry.Find("tracetest", "Since", 1), DeviceType::kCuda), Nothing);
  EXPECT_EQ(KernelOn(*registry.Find("tracetest", "Since", 7), DeviceType::kCuda), nullptr);
}

TEST_F(TraceTest, ChecksArity) {
  const Value x = Number(0);
  EXPECT_EQ(ErrorOf([&] { ApplySince(1, {}); }), "INVALID_ARGUMENT: takes 1 exactly inputs, got 0");
  EXPECT_EQ(ErrorOf([&] { ApplySince(1, {Value()}); }),
            "INVALID_ARGUMENT: takes 1 exactly inputs, got 0");
  EXPECT_EQ(ErrorOf([&] { ApplySince(13, {x, x, x}); }),
            "INVALID_ARGUMENT: takes 1 to 2 inputs, got 3");
  EXPECT_EQ(ErrorOf([&] { Call("tracetest::Pair", {x}); }),
            "INVALID_ARGUMENT: takes 2 or more inputs, got 1");
  EXPECT_EQ(ErrorOf([&] { ApplySince(13, {x}, {}, 2); }),
            "INVALID_ARGUMENT: has at most 1 outputs, 2 asked for");
  EXPECT_NO_THROW(ApplySince(13, {x, Value()}));
}

TEST_F(TraceTest, ChecksAttributes) {
  EXPECT_NO_THROW(ApplySince(7, {Number(0)}, {{"axis", int64_t{0}}}));
  EXPECT_EQ(ErrorOf([&] { ApplySince(1, {Number(0)}, {{"axis", int64_t{0}}}); }),
            "INVALID_ARGUMENT: has no attribute 'axis'");
}

TEST_F(TraceTest, ChecksElementTypes) {
  EXPECT_EQ(ErrorOf([&] { ApplySince(1, {Number(0, DType::kInt32)}); }),
            "OP_UNSUPPORTED: element type int32 is not supported; supported: float32, float64");
}

TEST_F(TraceTest, ChecksWhatInferSays) {
  EXPECT_EQ(ErrorOf([&] { Call("tracetest::Make", {}, {{"n", int64_t{-2}}}); }),
            "INVALID_ARGUMENT: shape float32[-2] has a negative extent");
  EXPECT_EQ(Call("tracetest::Make", {}, {{"n", int64_t{3}}}).dims(), (Dims{3}));
}

TEST_F(TraceTest, ComputesHalvesInFloat32) {
  const Value y = ApplySince(13, {Number(0, DType::kFloat16)})[0];
  EXPECT_EQ(y.dtype(), DType::kFloat16);
  EXPECT_EQ(bench_.Read(y)[0], 13);
}

TEST_F(TraceTest, RecordsWhatDependsOnALeaf) {
  const Value leaf = Number(0, DType::kFloat64, true);
  const Value y = ApplySince(13, {leaf})[0];
  EXPECT_TRUE(y.requires_grad());
  EXPECT_EQ(y.grad_fn()->op().since, 13);
  EXPECT_TRUE(ApplySince(13, {y})[0].requires_grad());
  EXPECT_FALSE(ApplySince(13, {Number(0)})[0].requires_grad());
  EXPECT_FALSE(Call("gradwire::Detach", {leaf}).requires_grad());
  EXPECT_FALSE(Call("Greater", {leaf, leaf}).requires_grad());
  EXPECT_EQ(Call("tracetest::Pair", {leaf, leaf}).grad_fn()->op().name, "Function");
  EXPECT_FALSE(Call("tracetest::Pair", {Number(0), Number(0)}).requires_grad());
  {
    const RecordingScope off(false);
    EXPECT_FALSE(ApplySince(13, {leaf})[0].requires_grad());
    {
      const RecordingScope on(true);
      EXPECT_TRUE(ApplySince(13, {leaf})[0].requires_grad());
    }
    EXPECT_FALSE(bench_.trace().recording());
  }
  EXPECT_TRUE(bench_.trace().recording());
}

TEST_F(TraceTest, DecomposesWhatIsRecordedAndHasNoRule) {
  EXPECT_EQ(bench_.Read(Call("tracetest::Fused", {Number(0)}))[0], 99);
  const Value recorded = Call("tracetest::Fused", {Number(0, DType::kFloat64, true)});
  EXPECT_EQ(recorded.grad_fn()->op().name, "Since");
  EXPECT_EQ(bench_.Read(recorded)[0], 13);
}

TEST_F(TraceTest, SeedsFollowTheSessionsState) {
  const auto draw = [&](uint64_t state) {
    const std::unique_ptr<Stream> stream = CpuBackend().NewStream(std::make_shared<Quota>(0));
    Executor executor(*stream, [] {});
    Trace trace(*stream, executor, state);
    std::vector<uint64_t> seeds;
    for (int i = 0; i < 100; ++i) seeds.push_back(trace.NextSeed());
    return seeds;
  };
  // The first outputs of SplitMix64 from state 1234567, as published by Rosetta Code.
  const std::vector<uint64_t> known = draw(1234567);
  EXPECT_EQ(known[0], 6457827717110365317u);
  EXPECT_EQ(known[1], 3203168211198807973u);
  EXPECT_EQ(known[2], 9817491932198370423u);
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
  const std::vector<uint64_t> seeds = draw(1);
  EXPECT_EQ(std::set<uint64_t>(seeds.begin(), seeds.end()).size(), seeds.size());
}

}  // namespace
}  // namespace gradwire
