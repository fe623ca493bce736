// Plans that are fused, against the same ones as they were traced; for tests.
#ifndef GRADWIRE_TESTS_UNIT_FUSION_BENCH_H_
#define GRADWIRE_TESTS_UNIT_FUSION_BENCH_H_

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "exec/chain.h"
#include "exec/fusion.h"
#include "tests/unit/plan_bench.h"
#include "tests/unit/same.h"

namespace gradwire::testing {

class FusionBench : public PlanBench {
 public:
  FusionBench() = default;
  // `tolerance`: of floats, relative to 1 + |x|; to the bit where it is 0.
  explicit FusionBench(Backend& backend, double tolerance = 0)
      : PlanBench(backend), tolerance_(tolerance) {}

  static std::vector<std::string> BytesOf(const std::vector<Tensor>& arrays) {
    std::vector<std::string> bytes;
    for (const Tensor& array : arrays) bytes.emplace_back(array.data<char>(), array.bytes());
    return bytes;
  }

  static std::vector<size_t> LinksOf(const Plan& plan) {
    std::vector<size_t> links;
    for (const PlanStep& step : plan.steps) {
      links.push_back(step.chain == nullptr ? 1 : step.chain->links.size());
    }
    return links;
  }

  // Fuses what computes `results`, and expects the same of both plans.
  Plan Fused(const std::vector<Value>& results) {
    const Traced traced = TraceOf(results);
    Plan fused = Fuse(traced.plan, bench_.stream());
    const std::vector<Tensor> actual = Run(traced, fused);
    const std::vector<Tensor> expected = Run(traced, traced.plan);
    for (size_t i = 0; i < expected.size(); ++i) {
      ExpectSame(actual[i], expected[i], tolerance_, "result " + std::to_string(i));
    }
    return fused;
  }
  std::vector<size_t> LinksOf(const std::vector<Value>& results) { return LinksOf(Fused(results)); }

  // What some of the values are that a program of random operators computes, on arrays of a few
  // shapes.
  std::vector<Value> RandomProgram() {
    const std::vector<Dims> shapes = {{2, 3, 700}, {3, 1}, {700}, {1}, {2, 1, 700}};
    std::vector<Value> values;
    for (const Dims& shape : shapes) values.push_back(Normal(shape));
    for (int i = 0; i < 40; ++i) {
      const Value a = values[Below(values.size())];
      values.push_back(RandomCall(a, values[Below(values.size())]));
    }
    return Some(values);
  }

  Bench& bench() { return bench_; }
  std::mt19937& random() { return random_; }

 private:
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

  const double tolerance_ = 0;
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_UNIT_FUSION_BENCH_H_
