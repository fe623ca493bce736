// Plans that are fused, against the same ones as they were traced; for tests.
#ifndef GRADWIRE_TESTS_UNIT_FUSION_BENCH_H_
#define GRADWIRE_TESTS_UNIT_FUSION_BENCH_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "backend/on_host.h"
#include "exec/chain.h"
#include "exec/executor.h"
#include "exec/fusion.h"
#include "graph/formula.h"
#include "tests/ops/bench.h"

namespace gradwire::testing {

class FusionBench {
 public:
  // The plan that computes the results, and the arrays that it is given.
  struct Traced {
    Plan plan;
    std::vector<std::pair<SlotPtr, int>> given;
    std::vector<int> results;
  };

  FusionBench() = default;
  explicit FusionBench(Backend& backend) : bench_([] {}, backend) {}

  Value Normal(const Dims& dims) {
    std::vector<double> elements(static_cast<size_t>(NumElements(dims)));
    for (double& element : elements) element = std::normal_distribution<double>()(random_);
    return Array(dims, elements, DType::kFloat32);
  }

  Traced TraceOf(const std::vector<Value>& results) {
    PlanBuilder builder(MakeSchedule(results), bench_.stream().device().type);
    Traced traced;
    for (const Value& result : results) traced.results.push_back(builder.Keep(result.slot()));
    traced.given = builder.Given();
    traced.plan = builder.Build();
    return traced;
  }

  // The bytes of the results; `plan` is the traced one, or the same made otherwise.
  std::vector<std::string> Run(const Traced& traced, const Plan& plan) {
    std::vector<Tensor> arrays(plan.specs.size());
    for (const auto& [slot, number] : traced.given) {
      arrays[static_cast<size_t>(number)] = slot->tensor;
    }
    Executor(bench_.stream(), [] {}).Run(plan, arrays);
    std::vector<std::string> bytes;
    for (const int result : traced.results) {
      const Tensor y = OnHost(arrays[static_cast<size_t>(result)], bench_.stream());
      bytes.emplace_back(y.data<char>(), y.bytes());
    }
    return bytes;
  }

  static std::vector<size_t> LinksOf(const Plan& plan) {
    std::vector<size_t> links;
    for (const PlanStep& step : plan.steps) {
      links.push_back(step.chain == nullptr ? 1 : step.chain->links.size());
    }
    return links;
  }

  // Fuses what computes `results`, and expects the same bytes.
  Plan Fused(const std::vector<Value>& results) {
    const Traced traced = TraceOf(results);
    Plan fused = Fuse(traced.plan, bench_.stream());
    EXPECT_EQ(Run(traced, fused), Run(traced, traced.plan));
    return fused;
  }
  std::vector<size_t> LinksOf(const std::vector<Value>& results) { return LinksOf(Fused(results)); }

  // What some of the values are that a program of random operators computes, on arrays of a few
  // shapes.
  std::vector<Value> RandomProgram() {
    const std::vector<Dims> shapes = {{2, 3, 700}, {3, 1}, {700}, {1}, {2, 1, 700}};
    constexpr int kLength = 40;
    std::vector<Value> values;
    for (const Dims& shape : shapes) values.push_back(Normal(shape));
    for (int i = 0; i < kLength; ++i) {
      const Value a = values[Below(values.size())];
      values.push_back(RandomCall(a, values[Below(values.size())]));
    }
    std::vector<Value> results = {values.back()};
    for (int i = 0; i < 3; ++i) results.push_back(values[shapes.size() + Below(kLength)]);
    std::sort(results.begin(), results.end(),
              [](const Value& a, const Value& b) { return a.slot() < b.slot(); });
    results.erase(std::unique(results.begin(), results.end(),
                              [](const Value& a, const Value& b) { return a.slot() == b.slot(); }),
                  results.end());
    return results;
  }

  Bench& bench() { return bench_; }
  std::mt19937& random() { return random_; }

 private:
  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

  Value RandomCall(const Value& a, const Value& b) {
    switch (Below(8)) {
      case 0:
        return a + b;
      case 1:
        return a * b;
      case 2:
        return Tanh(a);
      case 3:
        return Where(Less(a, b), a, b);
      case 4:
        return Call("Clip", {a, Scalar(-0.5, DType::kFloat32)});
      case 5:
        return Pow(a, Below(2) == 0 ? 2.0 : 3.0);
      case 6:
        return Cast(Cast(a, DType::kFloat64) - 0.25, DType::kFloat32);
      default:
        return Call("LeakyRelu", {a}, {{"alpha", 0.25}});
    }
  }

  Bench bench_;
  TraceScope scope_{bench_.trace()};
  std::mt19937 random_{0};
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_UNIT_FUSION_BENCH_H_
