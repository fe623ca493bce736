// Plans of what a test traces, and their runs.
#ifndef GRADWIRE_TESTS_UNIT_PLAN_BENCH_H_
#define GRADWIRE_TESTS_UNIT_PLAN_BENCH_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "backend/on_host.h"
#include "exec/executor.h"
#include "graph/formula.h"
#include "tests/ops/bench.h"

namespace gradwire::testing {

class PlanBench {
 public:
  PlanBench() = default;
  explicit PlanBench(Backend& backend) : bench_([] {}, backend) {}

  Value Normal(const Dims& dims) {
    std::vector<double> elements(static_cast<size_t>(NumElements(dims)));
    for (double& element : elements) element = std::normal_distribution<double>()(random_);
    return Array(dims, elements, DType::kFloat32);
  }
  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }
  // The last of some values and a few others, each once.
  std::vector<Value> Some(const std::vector<Value>& values) {
    std::vector<Value> some = {values.back()};
    for (int i = 0; i < 3; ++i) some.push_back(values[Below(values.size())]);
    std::sort(some.begin(), some.end(),
              [](const Value& a, const Value& b) { return a.slot() < b.slot(); });
    some.erase(std::unique(some.begin(), some.end(),
                           [](const Value& a, const Value& b) { return a.slot() == b.slot(); }),
               some.end());
    return some;
  }

  // The plan that computes the results, and the arrays that it is given.
  struct Traced {
    Plan plan;
    std::vector<std::pair<SlotPtr, int>> given;
    std::vector<int> results;
  };
  Traced TraceOf(const std::vector<Value>& results) {
    PlanBuilder builder(MakeSchedule(results), bench_.stream().device().type);
    Traced traced;
    for (const Value& result : results) traced.results.push_back(builder.Keep(result.slot()));
    traced.given = builder.Given();
    traced.plan = builder.Build();
    return traced;
  }

  // The results, on the host; `plan` is the traced one, or the same made otherwise, which may read
  // `constants` besides.
  std::vector<Tensor> Run(const Traced& traced, const Plan& plan,
                          const NumberedTensors& constants = {}) {
    std::vector<Tensor> arrays(plan.specs.size());
    for (const auto& [number, tensor] : constants) arrays[static_cast<size_t>(number)] = tensor;
    for (const auto& [slot, number] : traced.given) {
      arrays[static_cast<size_t>(number)] = slot->tensor;
    }
    Executor(bench_.stream(), [] {}).Run(plan, arrays);
    std::vector<Tensor> results;
    for (const int result : traced.results) {
      results.push_back(OnHost(arrays[static_cast<size_t>(result)], bench_.stream()));
    }
    return results;
  }

  // Sums of a few hundred products of numbers about 1, rounded to float32.
  static void ExpectClose(const std::vector<Tensor>& actual, const std::vector<Tensor>& expected) {
    constexpr float kTolerance = 1e-3f;
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_EQ(actual[i].spec(), expected[i].spec());
      for (int64_t k = 0; k < actual[i].numel(); ++k) {
        const float a = actual[i].data<float>()[k];
        const float b = expected[i].data<float>()[k];
        if (std::isnan(b)) {
          ASSERT_TRUE(std::isnan(a)) << "result " << i << ", element " << k;
        } else if (std::isinf(b)) {
          ASSERT_EQ(a, b) << "result " << i << ", element " << k;
        } else {
          ASSERT_NEAR(a, b, kTolerance * (1 + std::abs(b))) << "result " << i << ", element " << k;
        }
      }
    }
  }

 protected:
  Bench bench_;
  TraceScope scope_{bench_.trace()};
  std::mt19937 random_{0};
};

class PlanTest : public PlanBench, public ::testing::Test {
 protected:
  using PlanBench::Run;  // Test has one, too
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_UNIT_PLAN_BENCH_H_
