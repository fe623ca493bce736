#include <algorithm>

#include "tests/ops/eager.h"
#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

constexpr int64_t kOne = 1;

Input Twelve() { return Elements({3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}); }
Input Ratio(double ratio) { return Fixed(Elements({}, {ratio})); }

OP_CASES(
    Dropout,
    {.op = "Dropout",  // numpy.random.RandomState(5)
     .inputs = {Twelve(), Ratio(0.25), Bools({}, {1})},
     .attributes = {{"seed", int64_t{5}}},
     .outputs = 2,
     .expect = std::vector<double>{0, 8 / 3.0, 0, 16 / 3.0, 20 / 3.0, 8, 28 / 3.0, 32 / 3.0, 12, 0,
                                   0, 16}},
    {.op = "Dropout",
     .inputs = {Normal({5, 7}), Absent(), Bools({}, {1})},
     .outputs = 2,
     .float32_tolerance = 0},
    {.op = "Dropout",  // each call draws anew: float32 is not comparable
     .inputs = {Normal({5, 7}), Ratio(0.9), Bools({}, {1})},
     .float32_tolerance = 0},
    {.op = "Dropout",
     .inputs = {Elements({2}, {1, 2}), Ratio(0.9), Bools({}, {0})},
     .outputs = 2,
     .expect = std::vector<double>{1, 2}},
    {.op = "Dropout",
     .inputs = {Elements({2}, {1, 2}), Ratio(0), Bools({}, {1})},
     .outputs = 2,
     .expect = std::vector<double>{1, 2}},
    {.op = "Dropout",
     .inputs = {Elements({2}, {1, 2}), Ratio(1), Bools({}, {1})},
     .expect = std::vector<double>{0, 0}},
    {.op = "Dropout", .inputs = {Normal({0, 3}), Ratio(0.5), Bools({}, {1})}},
    {.op = "Dropout",
     .inputs = {Normal({3}), Ratio(1.5), Bools({}, {1})},
     .error = "INVALID_ARGUMENT"},
    {.op = "Dropout",
     .inputs = {Elements({2}, {1, 2})},
     .attributes = {{"ratio", 0.3}},
     .outputs = 2,
     .opset = 7,
     .expect = std::vector<double>{1, 2}},
    {.op = "Dropout",
     .inputs = {Elements({2}, {1, 2})},
     .attributes = {{"ratio", 0.3}},
     .outputs = 2,
     .opset = 10,
     .expect = std::vector<double>{1, 2}},
    {.op = "Dropout",
     .inputs = {Elements({2}, {1, 2})},
     .attributes = {{"is_test", kOne}},
     .opset = 6,
     .expect = std::vector<double>{1, 2}},
    {.op = "Dropout", .inputs = {Normal({9})}, .outputs = 2, .opset = 1, .float32_tolerance = 0},
    {.op = "gradwire::Dropout",
     .inputs = {Normal({9}), Ints({}, {3})},
     .attributes = {{"ratio", 0.5}},
     .outputs = 2});

TEST(Dropout, DropsAsManyAsAskedFor) {
  Eager eager;
  const Value ones = Full({100, 1000}, 1, DType::kFloat32);
  const Values inputs = {ones, Scalar(0.2, DType::kFloat32), Scalar(1, DType::kBool)};
  const std::vector<double> y = eager.Read(Call("Dropout", inputs));
  const auto dropped = static_cast<double>(std::count(y.begin(), y.end(), 0.0));
  EXPECT_NEAR(dropped / 1e5, 0.2, 0.01);
  EXPECT_EQ(std::count(y.begin(), y.end(), 1.25), 100000 - static_cast<int64_t>(dropped));
}

}  // namespace
}  // namespace gradwire::testing
