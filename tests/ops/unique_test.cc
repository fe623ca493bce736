#include <limits>

#include "tests/ops/eager.h"
#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

OP_CASES(NonZero,
         {.op = "NonZero",
          .inputs = {Elements({2, 3}, {1, 0, -2, 0, 0.5, kNan})},
          .expect = std::vector<double>{0, 0, 1, 1, 0, 2, 1, 2},
          .order = 0},
         {.op = "NonZero",
          .inputs = {Bools({2, 2}, {1, 0, 1, 1})},
          .opset = 9,
          .expect = std::vector<double>{0, 1, 1, 0, 0, 1},
          .order = 0},
         {.op = "NonZero", .inputs = {Normal({2, 0})}, .expect = std::vector<double>{}, .order = 0},
         {.op = "NonZero", .inputs = {Normal({})}, .expect = std::vector<double>{}, .order = 0});

OP_CASES(Unique,
         {.op = "Unique",
          .inputs = {Elements({6}, {2, 1, 1, 3, 4, 3})},
          .attributes = {{"sorted", int64_t{0}}},
          .outputs = 4,
          .expect = std::vector<double>{2, 1, 3, 4},
          .order = 0},
         {.op = "Unique",
          .inputs = {Elements({2, 2}, {1, kNan, 2, kNan})},
          .expect = std::vector<double>{1, 2, kNan},
          .order = 0,
          .float32_tolerance = 0},
         {.op = "Unique",
          .inputs = {Ints({3, 3}, {2, 3, 4, 1, 0, 0, 1, 0, 0})},
          .attributes = {{"axis", int64_t{0}}},
          .outputs = 4,
          .expect = std::vector<double>{1, 0, 0, 2, 3, 4},
          .order = 0},
         {.op = "Unique",
          .inputs = {Elements({2, 4, 2}, {1, 1, 0, 1, 2, 1, 0, 1, 1, 1, 0, 1, 2, 1, 0, 1})},
          .attributes = {{"axis", int64_t{-2}}},
          .expect = std::vector<double>{0, 1, 1, 1, 2, 1, 0, 1, 1, 1, 2, 1},
          .order = 0},
         {.op = "Unique", .inputs = {Distinct({2, 3})}, .outputs = 4},
         {.op = "Unique", .inputs = {Distinct({2, 3})}, .attributes = {{"axis", int64_t{1}}}},
         {.op = "Unique", .inputs = {Normal({0})}, .outputs = 4},
         {.op = "Unique", .inputs = {Normal({})}});

TEST(UniqueTest, SaysWhereEachCameFrom) {
  Eager eager;
  const Value x = eager.Make({4}, {3, 1, 3, 2});
  const Values outputs = ApplyAll("Unique", {x}, {}, 4);
  EXPECT_EQ(eager.Read(outputs[1]), (std::vector<double>{1, 3, 0}));
  EXPECT_EQ(eager.Read(outputs[2]), (std::vector<double>{2, 0, 2, 1}));
  EXPECT_EQ(eager.Read(outputs[3]), (std::vector<double>{1, 1, 2}));
}

}  // namespace
}  // namespace gradwire::testing
