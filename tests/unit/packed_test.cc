#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "exec/pack.h"
#include "tests/unit/plan_bench.h"

namespace gradwire {
namespace {

class PackedTest : public testing::PlanTest {
 protected:
  // Runs what computes `y` of `x` with w constant, twice, and expects the traced plan's numbers.
  // How many bytes the plan keeps.
  int64_t KeptBytes(const Value& y, const Value& w) {
    const Traced traced = TraceOf({y});
    const auto given = std::find_if(traced.given.begin(), traced.given.end(),
                                    [&](const auto& entry) { return entry.first == w.slot(); });
    Plan plan = traced.plan;
    PackConstants(plan, {{given->second, w.tensor()}}, {}, int64_t{1} << 30);
    const Tensor expected = Run(traced, traced.plan)[0];
    const int64_t before = bench_.used();
    for (int i = 0; i < 2; ++i) {
      const Tensor actual = Run(traced, plan)[0];
      for (int64_t k = 0; k < expected.numel(); ++k) {
        EXPECT_NEAR(actual.data<float>()[k], expected.data<float>()[k], 1e-4);
      }
    }
    const int64_t kept = bench_.used() - before;
    plan = Plan();
    EXPECT_EQ(bench_.used(), before);
    return kept;
  }
};

TEST_F(PackedTest, TheWeightsOfAConvolution) {
  const Value w = Normal({16, 16, 3, 3});
  const Value y = Call("Conv", {Normal({1, 16, 9, 9}), w});
  EXPECT_GE(KeptBytes(y, w), w.tensor().bytes());
}

TEST_F(PackedTest, AMatrixThatManyRowsAreMultipliedWith) {
  const Value w = Normal({96, 80});
  EXPECT_GE(KeptBytes(Call("MatMul", {Normal({2, 32, 96}), w}), w), w.tensor().bytes());
  const Value transposed = Normal({80, 96});
  const Value y =
      Call("Gemm", {Normal({40, 96}), transposed, Normal({80})}, {{"transB", int64_t{1}}});
  EXPECT_GE(KeptBytes(y, transposed), transposed.tensor().bytes());
}

TEST_F(PackedTest, NotWhatARowOrAnArrayOfTheCallIsMultipliedWith) {
  const Value w = Normal({96, 80});
  const Value row = Normal({1, 96});
  EXPECT_EQ(KeptBytes(Call("MatMul", {row, w}), w), 0);
  EXPECT_EQ(KeptBytes(Call("MatMul", {w, Normal({80, 8})}), w), 0);
}

}  // namespace
}  // namespace gradwire
