// What comes after a product, done by its kernel: on devices whose kernels can.
#include "exec/epilogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "exec/executor.h"
#include "graph/formula.h"
#include "graph/op.h"
#include "tests/ops/bench.h"
#include "tests/ops/device.h"

namespace gradwire {
namespace {

using testing::Bench;
using ::testing::NanSensitiveFloatNear;
using ::testing::Pointwise;

class EpilogueTest : public ::testing::Test {
 protected:
  Value Array(const Dims& dims, const std::vector<double>& elements,
              DType dtype = DType::kFloat32) {
    return bench_.Make(dims, elements, dtype);
  }
  Value Normal(const Dims& dims, DType dtype = DType::kFloat32) {
    std::vector<double> elements(static_cast<size_t>(NumElements(dims)));
    for (double& element : elements) element = std::normal_distribution<double>()(random_);
    return Array(dims, elements, dtype);
  }

  // Runs what computes `result` with and without epilogues; says how many steps fusion spared, and
  // as how many it should have where the kernels have epilogues.
  void ExpectSpared(const Value& result, size_t spared) {
    const DeviceType device = bench_.stream().device().type;
    PlanBuilder builder(MakeSchedule(std::array{result}), device);
    const int kept = builder.Keep(result.slot());
    const auto given = builder.Given();
    const Plan plan = builder.Build();
    const Plan fused = FuseEpilogues(plan);
    const OpDef& product = Registry::Global().Latest("MatMul", "gradwire");
    const bool can = device == DeviceType::kCuda && !product.cuda_traits.epilogues.empty();
    EXPECT_EQ(fused.steps.size(), plan.steps.size() - (can ? spared : 0));
    EXPECT_THAT(Run(fused, given, kept),
                Pointwise(NanSensitiveFloatNear(2e-3F), Run(plan, given, kept)));
  }

  std::vector<float> Run(const Plan& plan, const std::vector<std::pair<SlotPtr, int>>& given,
                         int kept) {
    std::vector<Tensor> arrays(plan.specs.size());
    for (const auto& [slot, number] : given) arrays[static_cast<size_t>(number)] = slot->tensor;
    Executor(bench_.stream(), [] {}).Run(plan, arrays);
    const std::vector<double> elements =
        bench_.Read(Value(std::move(arrays[static_cast<size_t>(kept)])));
    return {elements.begin(), elements.end()};
  }

  static Value Relu(const Value& x) { return Call("Relu", {x}); }
  static Value Gelu(const Value& x, const std::string& approximate = "tanh") {
    return Call("Gelu", {x}, {{"approximate", approximate}});
  }

  Bench bench_{[] {}, testing::DeviceUnderTest()};
  TraceScope scope_{bench_.trace()};
  std::mt19937 random_{0};
};

TEST_F(EpilogueTest, ABiasAndAnActivation) {
  const Value product = MatMul(Normal({7, 20}), Normal({20, 12}));
  ExpectSpared(Relu(product + Normal({12})), 2);
  ExpectSpared(Gelu(Normal({1, 12}) + MatMul(Normal({7, 20}), Normal({20, 12}))), 2);
}

TEST_F(EpilogueTest, AnActivationAlone) {
  ExpectSpared(Relu(MatMul(Normal({5, 6}), Normal({6, 3}))), 1);
  ExpectSpared(Gelu(MatMul(Normal({2, 5, 6}), Normal({2, 6, 3}))), 1);
}

TEST_F(EpilogueTest, AfterABiasOfGemm) {
  const Values gemm = {Normal({4, 6}), Normal({6, 8}), Normal({8})};
  ExpectSpared(Relu(Call("Gemm", gemm)), 1);
  ExpectSpared(Relu(Call("Gemm", gemm) + Normal({8})), 0);
}

TEST_F(EpilogueTest, OnlyOneActivation) {
  ExpectSpared(Gelu(Relu(MatMul(Normal({5, 6}), Normal({6, 3})))), 1);
}

TEST_F(EpilogueTest, ABiasThatIsMadeAfterTheProduct) {
  const Value product = MatMul(Normal({4, 6}), Normal({6, 8}));
  const Value bias = Tanh(Normal({8}));
  ExpectSpared(product + bias, 1);
}

TEST_F(EpilogueTest, WhatOthersReadStays) {
  const Value product = MatMul(Normal({4, 8}), Normal({8, 8}));
  ExpectSpared(Relu(product) * product, 0);
  const Value doubled = MatMul(Normal({4, 8}), Normal({8, 8}));
  ExpectSpared(doubled + doubled, 0);
}

TEST_F(EpilogueTest, WhatIsNoBiasOfColumnsStays) {
  const auto product = [&] { return MatMul(Normal({4, 8}), Normal({8, 8})); };
  ExpectSpared(product() + Normal({4, 1}), 0);
  ExpectSpared(product() + Normal({}), 0);
  ExpectSpared(product() + Normal({4, 8}), 0);
  ExpectSpared(product() + Normal({2, 4, 8}), 0);
  ExpectSpared(Gelu(product(), "none"), 0);
}

TEST_F(EpilogueTest, OfFloat64ThereIsNone) {
  const Value product = MatMul(Normal({4, 6}, DType::kFloat64), Normal({6, 8}, DType::kFloat64));
  ExpectSpared(Relu(product + Normal({8}, DType::kFloat64)), 0);
}

// No cast lies between them where kernels take 16-bit floats as they are.
TEST_F(EpilogueTest, Of16BitFloats) {
  for (const DType half : {DType::kFloat16, DType::kBfloat16}) {
    const Value x = Array({2, 3}, {1, 2, 0.5, -1, 0, 4}, half);
    const Value w = Array({3, 2}, {1, -1, 2, 0, 0, 4}, half);
    ExpectSpared(Relu(MatMul(x, w) + Array({2}, {1, -2}, half)), 2);
  }
}

TEST_F(EpilogueTest, AnEmptySumIsTheBias) {
  ExpectSpared(Relu(MatMul(Array({2, 0}, {}), Array({0, 2}, {})) + Array({2}, {-1, 2})), 2);
}

// The least that libraries for products are asked, and which some have nothing for.
TEST_F(EpilogueTest, ExtentsOfOne) {
  const auto layer = [&](const Dims& a, const Dims& b) {
    return Relu(MatMul(Normal(a), Normal(b)) + Normal({b.back()}));
  };
  ExpectSpared(layer({7, 20}, {20, 1}), 2);
  ExpectSpared(layer({1, 20}, {20, 12}), 2);
  ExpectSpared(layer({7, 1}, {1, 12}), 2);
  ExpectSpared(layer({1, 1}, {1, 1}), 2);
  ExpectSpared(layer({3, 5, 4}, {3, 4, 1}), 2);
  ExpectSpared(layer({3, 1, 4}, {3, 4, 6}), 2);
}

TEST_F(EpilogueTest, NaNsStay) {
  const Value x = Array({2, 1}, {NAN, -1});
  ExpectSpared(Relu(MatMul(x, Array({1, 2}, {1, -1}))), 1);
}

}  // namespace
}  // namespace gradwire
