#include "graph/anomaly.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "graph/formula.h"
#include "tests/ops/bench.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::Bench;
using testing::ErrorOf;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class AnomalyTest : public ::testing::Test {
 protected:
  Value Vector(const std::vector<double>& elements, DType dtype = DType::kFloat64) {
    return bench_.Make({static_cast<int64_t>(elements.size())}, elements, dtype);
  }
  // What a watch on f(inputs) says.
  std::string Watched(const Value& result, const Values& inputs) {
    return ErrorOf([&] {
      WatchFor(result, Error(reason::kNonFinite, "it"), inputs);
      bench_.Run({result});
    });
  }

  Bench bench_;
  TraceScope scope_{bench_.trace()};
};

TEST_F(AnomalyTest, SaysWhatAResultHoldsAndWhatItWasMadeFrom) {
  const Value x = Vector({-1, 4});
  EXPECT_EQ(Watched(Sqrt(x), {x}), "NON_FINITE: it holds NaN, its inputs are finite");
  const Value zero = Vector({0, 1});
  EXPECT_EQ(Watched(Log(zero), {zero}), "NON_FINITE: it holds Inf, its inputs are finite");
  const Value infinite = Vector({kInf, 1});
  EXPECT_EQ(Watched(infinite - infinite, {infinite}),
            "NON_FINITE: it holds NaN, its inputs hold Inf");
  const Value nan = Vector({kNan, 1});
  EXPECT_EQ(Watched(nan + x, {nan, x}), "NON_FINITE: it holds NaN, which was among its inputs");
}

TEST_F(AnomalyTest, PassesWhatIsFiniteAndInfinitiesThatWereThere) {
  const Value x = Vector({1, 4});
  EXPECT_EQ(Watched(Sqrt(x), {x}), "no error");
  const Value mask = Vector({-kInf, 0});
  EXPECT_EQ(Watched(x + mask, {x, mask}), "no error");
  const Value ints = Call("Cast", {x}, {{"to", int64_t{static_cast<int>(DType::kInt64)}}});
  EXPECT_EQ(Watched(ints, {x}), "no error");
}

TEST_F(AnomalyTest, LooksAtEveryFloatingType) {
  for (const DType dtype : {DType::kFloat16, DType::kBfloat16, DType::kFloat32}) {
    const Value x = Vector({-1, 4}, dtype);
    EXPECT_EQ(Watched(Sqrt(x), {x}), "NON_FINITE: it holds NaN, its inputs are finite");
  }
}

TEST_F(AnomalyTest, AValueThatIsComputedIsLookedAtAtOnce) {
  EXPECT_EQ(ErrorOf([&] { WatchFor(Vector({kNan}), Error(reason::kNonFinite, "it"), {}); }),
            "NON_FINITE: it holds NaN, its inputs are finite");
}

TEST_F(AnomalyTest, WhatWasOnlyPassedOnIsNotWatchedAgain) {
  const int64_t before = bench_.used();
  {
    const Value y = Vector({2}) + Vector({3});
    WatchFor(y, Error(reason::kNonFinite, "it"), {y});
    EXPECT_EQ(y.node()->watch(), nullptr);
  }
  EXPECT_EQ(bench_.used(), before) << "a watch on its own input would never be freed";
}

TEST_F(AnomalyTest, SignaturesShowShapes) {
  const Value x = Vector({1, 2});
  EXPECT_EQ(Signature("Gemm", {x, Value()}, std::array{x.spec()}),
            "Gemm(float64[2], -) -> float64[2]");
}

}  // namespace
}  // namespace gradwire
