#include "exec/fusion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "exec/chain.h"
#include "tests/unit/plan_bench.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FusionTest : public testing::PlanTest {
 protected:
  static std::vector<size_t> LinksOf(const Plan& plan) {
    std::vector<size_t> links;
    for (const PlanStep& step : plan.steps) {
      links.push_back(step.chain == nullptr ? 1 : step.chain->links.size());
    }
    return links;
  }

  // Fuses what computes `results`, expects the same bytes, and says how many links each step has.
  std::vector<size_t> LinksOf(const std::vector<Value>& results) {
    const Traced traced = TraceOf(results);
    const Plan fused = Fuse(traced.plan);
    EXPECT_EQ(BytesOf(Run(traced, fused)), BytesOf(Run(traced, traced.plan)));
    return LinksOf(fused);
  }

 private:
  static std::vector<std::string> BytesOf(const std::vector<Tensor>& arrays) {
    std::vector<std::string> bytes;
    for (const Tensor& array : arrays) bytes.emplace_back(array.data<char>(), array.bytes());
    return bytes;
  }
};

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
  EXPECT_THAT(Fuse(Plan()).steps, IsEmpty());
}

TEST_F(FusionTest, AResultTakesTheMemoryOfAnInputThatNobodyElseReads) {
  constexpr int64_t kLength = 1 << 16;
  const Traced traced = TraceOf({Tanh(Normal({kLength})) + 1.0});
  const Plan fused = Fuse(traced.plan);
  std::vector<Tensor> arrays(fused.specs.size());
  for (const auto& [slot, number] : traced.given) {
    arrays[static_cast<size_t>(number)] = AllocateTensor(bench_.stream(), slot->spec);
    std::memcpy(arrays[static_cast<size_t>(number)].mutable_data<char>(), slot->tensor.data<char>(),
                slot->tensor.bytes());
  }
  std::vector<const void*> memory;
  for (const Tensor& array : arrays) {
    if (array && array.numel() == kLength) memory.push_back(array.data<char>());
  }
  Executor(bench_.stream(), [] {}).Run(fused, arrays);
  const Tensor& result = arrays[static_cast<size_t>(traced.results[0])];
  EXPECT_THAT(memory, ElementsAre(result.data<char>()));
}

// Programs of random operators on arrays of a few shapes, any of whose values may be wanted.
TEST_F(FusionTest, RandomProgramsGiveTheSameBits) {
  const std::vector<Dims> shapes = {{2, 3, 700}, {3, 1}, {700}, {1}, {2, 1, 700}};
  for (int program = 0; program < 60; ++program) {
    std::vector<Value> values;
    for (const Dims& shape : shapes) values.push_back(Normal(shape));
    const auto pick = [&] { return values[Below(values.size())]; };
    for (int i = 0; i < 40; ++i) {
      const Value a = pick();
      const Value b = pick();
      switch (Below(8)) {
        case 0:
          values.push_back(a + b);
          break;
        case 1:
          values.push_back(a * b);
          break;
        case 2:
          values.push_back(Tanh(a));
          break;
        case 3:
          values.push_back(Where(Less(a, b), a, b));
          break;
        case 4:
          values.push_back(Call("Clip", {a, Scalar(-0.5, DType::kFloat32)}));
          break;
        case 5:
          values.push_back(Pow(a, Below(2) == 0 ? 2.0 : 3.0));
          break;
        case 6:
          values.push_back(Cast(Cast(a, DType::kFloat64) - 0.25, DType::kFloat32));
          break;
        default:
          values.push_back(Call("LeakyRelu", {a}, {{"alpha", 0.25}}));
      }
    }
    LinksOf(Some(values));
  }
}

}  // namespace
}  // namespace gradwire
