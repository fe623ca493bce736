#include "exec/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/quota.h"
#include "tests/unit/fusion_bench.h"

namespace gradwire {
namespace {

using ::testing::Ge;
using ::testing::Le;

constexpr int64_t kSide = 24;
constexpr int64_t kArrayBytes = kSide * kSide * 4 + 64;  // and what aligns the next one

class MemoryPlanTest : public testing::FusionBench, public ::testing::Test {
 protected:
  Value Square() { return Normal({kSide, kSide}); }
  static Value Product(const Value& a, const Value& b) { return Call("MatMul", {a, b}); }
  static Plan Planned(Plan plan) {
    plan.memory = std::make_shared<const MemoryPlan>(plan);
    return plan;
  }
  // Expects the same bits with the arrays in one block, whose bytes are returned.
  int64_t BlockOf(const std::vector<Value>& results) {
    const Traced traced = TraceOf(results);
    const Plan planned = Planned(traced.plan);
    const std::vector<Tensor> expected = PlanBench::Run(traced, traced.plan);
    EXPECT_EQ(BytesOf(PlanBench::Run(traced, planned)), BytesOf(expected));
    const Plan fused = Planned(Fuse(traced.plan, bench().stream()));
    EXPECT_EQ(BytesOf(PlanBench::Run(traced, fused)), BytesOf(expected));
    return planned.memory->bytes();
  }
  // Operators in place, views, products, and parts.
  Value CallWithViews(const Value& a, const Value& b) {
    switch (Below(7)) {
      case 0:
        return a + b;
      case 1:
        return Tanh(a);
      case 2:
        return Product(a, b);
      case 3:
        return Reshape(Exp(-Reshape(a, {kSide * kSide})), {kSide, kSide});
      case 4:
        return Reshape(Reshape(a, {kSide * kSide, 1}), {kSide, kSide}) * b;
      case 5:
        return a * ApplyAll("gradwire::Split", {b},
                            {{"axis", int64_t{0}}, {"split", std::vector<int64_t>{1, kSide - 1}}},
                            2)[0];
      default:
        return Transpose(a, {1, 0});
    }
  }
};

TEST_F(MemoryPlanTest, AChainOfProductsNeedsTwoPlaces) {
  const Value w = Square();
  Value y = w;
  for (int i = 0; i < 20; ++i) y = Product(y, w);
  EXPECT_EQ(BlockOf({y}), 2 * kArrayBytes);
}

TEST_F(MemoryPlanTest, WhatIsWrittenInPlaceNeedsOne) {
  const Value w = Square();
  EXPECT_EQ(BlockOf({Product(Tanh(Exp(Product(w, w))), w)}), kArrayBytes);
}

TEST_F(MemoryPlanTest, WhatIsKeptOrGivenHasMemoryOfItsOwn) {
  const Value x = Square();
  const Value y = Product(x, x);
  EXPECT_EQ(BlockOf({y, Reshape(y, {kSide * kSide}), Tanh(x)}), 0);
  EXPECT_EQ(BlockOf({Tanh(Exp(Product(x, x)))}), 0) << "it takes over what the product has";
}

TEST_F(MemoryPlanTest, AViewKeepsThePlace) {
  const Value x = Square();
  const Value y = Product(x, x);
  const Value view = Reshape(y, {kSide * kSide});
  const Value other = Product(Product(x, x), x);
  const Value sum = Product(other, other) + Reshape(view, {kSide, kSide});
  EXPECT_THAT(BlockOf({Product(sum, x)}), Ge(3 * kArrayBytes));
}

TEST_F(MemoryPlanTest, HolesAreJoined) {
  const Value x = Square();
  const Value two = Concat({Product(x, x), Product(x, Exp(x))}, 0);
  const Value wide = Product(two, x);  // where the parts were
  EXPECT_THAT(BlockOf({Product(wide, x)}), Le(5 * kArrayBytes));
}

TEST_F(MemoryPlanTest, EmptyArraysAndPlans) {
  const Value x = Normal({0, 3});
  EXPECT_THAT(BlockOf({Product(Concat({x, x}, 0), Normal({3, 2}))}), Le(64));
  EXPECT_EQ(Planned(Plan()).memory->bytes(), 0);
}

TEST_F(MemoryPlanTest, RandomProgramsGiveTheSameBits) {
  for (int program = 0; program < 100; ++program) {
    std::vector<Value> values = {Square(), Square()};
    for (int i = 0; i < 30; ++i) {
      const Value a = values[Below(values.size())];
      values.push_back(CallWithViews(a, values[Below(values.size())]));
    }
    BlockOf(Some(values));
    BlockOf(RandomProgram());
  }
}

TEST_F(MemoryPlanTest, WithoutRoomForTheBlockArraysGoWhereThereIsMemory) {
  const Value w = Square();
  const Traced traced = TraceOf({Product(Product(Product(w, w), w), w)});
  const Plan planned = Planned(traced.plan);
  const auto stream = CpuBackend().NewStream(std::make_shared<Quota>(kArrayBytes));
  PlannedPlaces places(*planned.memory, *stream);
  EXPECT_EQ(places.Of(planned.steps[0].outputs[0], 64), nullptr);
  EXPECT_TRUE(places.MayTakeOver(planned.steps[0].outputs[0], planned.steps[1].outputs[0]));
}

}  // namespace
}  // namespace gradwire
