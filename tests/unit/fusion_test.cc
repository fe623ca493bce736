#include "exec/fusion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/unit/fusion_bench.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FusionTest : public testing::FusionBench, public ::testing::Test {};

TEST_F(FusionTest, OperatorsOfOneShapeThatFollowEachOtherAreOne) {
  const Value x = Normal({3, 5});
  EXPECT_THAT(LinksOf({Tanh(x * x + x) - x}), ElementsAre(4));
}

TEST_F(FusionTest, OperandsBroadcast) {
  const Value x = Normal({4, 5});
  const Value y = (x + Normal({5})) * Normal({4, 1}) - Normal({});
  EXPECT_THAT(LinksOf({y}), ElementsAre(3));
}

TEST_F(FusionTest, ElementTypesMayChange) {
  const Value x = Normal({3000});
  const Value doubled = Cast(Cast(x, DType::kFloat64) * 2.0, DType::kFloat32);
  EXPECT_THAT(LinksOf({Where(Less(x, doubled), x, doubled), doubled}), ElementsAre(5));
}

TEST_F(FusionTest, OtherShapesAndOperatorsAreNotPartOfAChain) {
  const Value x = Normal({4, 4});
  const Value h = Tanh(x + x);
  const Value sums = Exp(-Call("ReduceSum", {h * h}));
  EXPECT_THAT(LinksOf({sums}), ElementsAre(3, 1, 2));
}

// They would be computed before the product, and kept the while.
TEST_F(FusionTest, NothingMovesAboveAnOperatorThatIsNotElementwise) {
  const Value x = Normal({4, 4});
  const Value h = Tanh(x);
  const Value product = Call("MatMul", {h, h});
  EXPECT_THAT(LinksOf({product + h * h}), ElementsAre(1, 1, 2));
}

TEST_F(FusionTest, WhatSharesNothingStaysApart) {
  EXPECT_THAT(LinksOf({Tanh(Normal({7})), Tanh(Normal({7}))}), ElementsAre(1, 1));
}

TEST_F(FusionTest, ChainsAreBounded) {
  Value y = Normal({9});
  for (int i = 0; i < 100; ++i) y = y + y;
  EXPECT_THAT(LinksOf({y}), ElementsAre(64, 36));
}

TEST_F(FusionTest, EmptyArraysAndScalars) {
  EXPECT_THAT(LinksOf({Tanh(Normal({0, 3})) * 2.0}), ElementsAre(2));
  EXPECT_THAT(LinksOf({Tanh(Normal({})) * 2.0}), ElementsAre(2));
  EXPECT_THAT(Fuse(Plan(), bench().stream()).steps, IsEmpty());
}

TEST_F(FusionTest, AResultTakesTheMemoryOfAnInputThatNobodyElseReads) {
  constexpr int64_t kLength = 1 << 16;
  const Traced traced = TraceOf({Tanh(Normal({kLength})) + 1.0});
  const Plan fused = Fuse(traced.plan, bench().stream());
  std::vector<Tensor> arrays(fused.specs.size());
  for (const auto& [slot, number] : traced.given) {
    arrays[static_cast<size_t>(number)] = AllocateTensor(bench().stream(), slot->spec);
    std::memcpy(arrays[static_cast<size_t>(number)].mutable_data<char>(), slot->tensor.data<char>(),
                slot->tensor.bytes());
  }
  std::vector<const void*> memory;
  for (const Tensor& array : arrays) {
    if (array && array.numel() == kLength) memory.push_back(array.data<char>());
  }
  Executor(bench().stream(), [] {}).Run(fused, arrays);
  const Tensor& result = arrays[static_cast<size_t>(traced.results[0])];
  EXPECT_THAT(memory, ElementsAre(result.data<char>()));
}

TEST_F(FusionTest, RandomProgramsGiveTheSameBits) {
  for (int program = 0; program < 60; ++program) LinksOf(RandomProgram());
}

}  // namespace
}  // namespace gradwire
