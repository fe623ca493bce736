// Chains of elementwise operators, on the device under test: what they compute.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/device/chain_bench.h"
#include "tests/ops/device.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;

class DeviceChainTest : public testing::ChainBench, public ::testing::Test {
 protected:
  DeviceChainTest() : ChainBench(testing::DeviceUnderTest(), testing::ToleranceOfPlans().chains) {}
};

TEST_F(DeviceChainTest, EveryOperatorOfEveryTypeGivesTheSameBits) {
  for (const DType dtype : testing::kChainTypes) {
    SCOPED_TRACE(Name(dtype));
    const Plan fused = Fused(EachOperatorOf(dtype));
    EXPECT_LE(fused.steps.size(), 2u);  // chains are bounded
    EXPECT_NE(fused.steps[0].chain, nullptr);
  }
  for (const OpDef* op : Registry::Global().All()) {
    EXPECT_TRUE(op->functor.type.empty() || met().contains(op->name)) << op->name;
  }
}

TEST_F(DeviceChainTest, OperandsBroadcast) {
  const Value x = Normal({4, 5});
  EXPECT_THAT(LinksOf({(x + Normal({5})) * Normal({4, 1}) - Normal({})}), ElementsAre(3));
  // Rows of whole packs, and with a rest.
  for (const int64_t last : {8, 6, 1}) {
    const Value wide = Normal({3, 2, 5, last});
    EXPECT_THAT(LinksOf({Tanh(wide * Normal({2, 1, last}) + Normal({3, 1, 5, 1}))}),
                ElementsAre(3));
  }
}

TEST_F(DeviceChainTest, EmptyArraysAndScalars) {
  EXPECT_THAT(LinksOf({Tanh(Normal({0, 3})) * 2.0}), ElementsAre(2));
  EXPECT_THAT(LinksOf({Tanh(Normal({})) * 2.0}), ElementsAre(2));
}

TEST_F(DeviceChainTest, RandomProgramsGiveTheSameBits) {
  for (int program = 0; program < 6; ++program) LinksOf(RandomProgram());
}

}  // namespace
}  // namespace gradwire
