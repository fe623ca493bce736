#include <limits>

#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

using Axes = std::vector<int64_t>;
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr int64_t kZero = 0;
constexpr int64_t kOne = 1;

Attributes Over(Axes axes, int64_t keepdims = 1) {
  return {{"axes", std::move(axes)}, {"keepdims", keepdims}};
}

OP_CASES(
    ReduceSum,
    {.op = "gradwire::ReduceSum",
     .inputs = {Elements({2, 3}, {1, 2, 3, 4, 5, 6})},
     .attributes = Over({1}),
     .expect = std::vector<double>{6, 15}},
    {.op = "gradwire::ReduceSum",
     .inputs = {Elements({2, 3}, {1, 2, 3, 4, 5, 6})},
     .attributes = Over({0}, 0),
     .expect = std::vector<double>{5, 7, 9}},
    {.op = "gradwire::ReduceSum", .inputs = {Normal({3, 4, 5})}, .attributes = Over({1}, 0)},
    {.op = "gradwire::ReduceSum", .inputs = {Normal({3, 4, 5})}, .attributes = Over({0, 2}, 0)},
    {.op = "gradwire::ReduceSum", .inputs = {Normal({2, 3, 2, 3, 2})}, .attributes = Over({1, 3})},
    {.op = "gradwire::ReduceSum", .inputs = {Normal({2, 3, 2, 3})}, .attributes = Over({1, 3})},
    {.op = "gradwire::ReduceSum", .inputs = {Normal({40, 37})}, .attributes = Over({0, 1}, 0)},
    {.op = "gradwire::ReduceSum", .inputs = {Normal({2, 3})}, .attributes = Over({})},
    {.op = "gradwire::ReduceSum", .inputs = {Normal({})}, .attributes = Over({})},
    {.op = "gradwire::ReduceSum", .inputs = {Normal({0, 3})}, .attributes = Over({0})},
    {.op = "gradwire::ReduceSum", .inputs = {Normal({0, 3})}, .attributes = Over({1})},
    {.op = "gradwire::ReduceSum",
     .inputs = {Normal({300, 1100})},
     .attributes = Over({0}),
     .order = 1},
    {.op = "gradwire::ReduceSum",
     .inputs = {Normal({3})},
     .attributes = Over({1}),
     .error = "INVALID_ARGUMENT"},
    {.op = "ReduceSum", .inputs = {Normal({2, 3})}},
    {.op = "ReduceSum",
     .inputs = {Normal({2, 3}), Ints({1}, {-1})},
     .attributes = {{"keepdims", kZero}}},
    {.op = "ReduceSum",
     .inputs = {Elements({2}, {3, 4}), Ints({0}, {})},
     .attributes = {{"noop_with_empty_axes", kOne}},
     .expect = std::vector<double>{3, 4}},
    {.op = "ReduceSum", .inputs = {Normal({2, 3})}, .attributes = Over({-2}), .opset = 11},
    {.op = "ReduceSum",
     .inputs = {Ints({2, 2}, {1, 2, 3, 4}, DType::kInt32), Ints({1}, {0})},
     .expect = std::vector<double>{4, 6}});

OP_CASES(ReduceMean,
         {.op = "gradwire::ReduceMean", .inputs = {Normal({3, 4, 5})}, .attributes = Over({1})},
         {.op = "ReduceMean", .inputs = {Normal({2, 3})}},
         {.op = "ReduceMean", .inputs = {Normal({})}},
         {.op = "ReduceMean", .inputs = {Normal({2, 3})}, .attributes = Over({1}, 0), .opset = 13},
         {.op = "ReduceMean",
          .inputs = {Ints({3}, {-1, -2, -4}, DType::kInt32)},
          .expect = std::vector<double>{-2}},
         {.op = "ReduceMean",
          .inputs = {Normal({0})},
          .expect = std::vector<double>{std::numeric_limits<double>::quiet_NaN()},
          .order = 0});

OP_CASES(ReduceExtremes,
         {.op = "gradwire::ReduceMax", .inputs = {Distinct({3, 4, 5})}, .attributes = Over({1})},
         {.op = "gradwire::ReduceMin",
          .inputs = {Distinct({3, 4, 5})},
          .attributes = Over({0, 2}, 0)},
         {.op = "gradwire::ReduceMax", .inputs = {Distinct({3, 40})}, .attributes = Over({1})},
         {.op = "ReduceMax", .inputs = {Distinct({2, 3}), Ints({1}, {0})}},
         {.op = "ReduceMin", .inputs = {Distinct({2, 3})}, .attributes = Over({1}), .opset = 11},
         {.op = "ReduceMax", .inputs = {Distinct({2, 3})}, .attributes = Over({1}), .opset = 13},
         {.op = "ReduceMin", .inputs = {Distinct({2, 3})}},
         {.op = "ReduceMax", .inputs = {Distinct({})}},
         {.op = "ReduceMax",
          .inputs = {Bools({2, 2}, {0, 1, 0, 0}), Ints({1}, {1})},
          .expect = std::vector<double>{1, 0}},
         {.op = "ReduceMin",
          .inputs = {Ints({4}, {3, -7, 5, 0}, DType::kInt8)},
          .expect = std::vector<double>{-7}},
         {.op = "ReduceMax",
          .inputs = {Elements({2, 0}, {}), Ints({1}, {1})},
          .expect = std::vector<double>{-kInf, -kInf},
          .order = 0},
         {.op = "ReduceMin",
          .inputs = {Ints({2, 0}, {}, DType::kInt32), Ints({1}, {1})},
          .expect = std::vector<double>{2147483647, 2147483647}},
         {.op = "ReduceMax",
          .inputs = {Elements({3}, {1, std::numeric_limits<double>::quiet_NaN(), 2})},
          .expect = std::vector<double>{std::numeric_limits<double>::quiet_NaN()},
          .order = 0});

OP_CASES(ReduceProd,
         {.op = "gradwire::ReduceProd", .inputs = {Normal({3, 4, 5})}, .attributes = Over({1})},
         {.op = "gradwire::ReduceProd",
          .inputs = {Normal({3, 2, 3})},
          .attributes = Over({0, 2}, 0)},
         {.op = "gradwire::ReduceProd",
          .inputs = {Elements({3, 3}, {2, 0, 3, 0, 0, 5, 0, 0, 0})},
          .attributes = Over({1}),
          .expect = std::vector<double>{0, 0, 0}},
         {.op = "ReduceProd", .inputs = {Normal({2, 3})}},
         {.op = "ReduceProd", .inputs = {Elements({2, 2}, {0, 0, 3, 4})}},
         {.op = "ReduceProd", .inputs = {Normal({2, 3})}, .attributes = Over({1}, 0), .opset = 13},
         {.op = "ReduceProd", .inputs = {Normal({})}},
         {.op = "ReduceProd", .inputs = {Normal({0})}, .expect = std::vector<double>{1}});

OP_CASES(
    ReduceNorms,
    {.op = "gradwire::ReduceL1", .inputs = {Distinct({3, 4})}, .attributes = Over({1})},
    {.op = "gradwire::ReduceL2", .inputs = {Distinct({3, 4})}, .attributes = Over({0}, 0)},
    {.op = "gradwire::ReduceSumSquare", .inputs = {Normal({3, 4})}, .attributes = Over({1}, 0)},
    {.op = "ReduceL1", .inputs = {Distinct({2, 3})}, .attributes = Over({1}, 0), .opset = 11},
    {.op = "ReduceL2", .inputs = {Distinct({2, 3})}, .attributes = Over({1}, 0), .opset = 11},
    {.op = "ReduceSumSquare", .inputs = {Normal({2, 3})}, .attributes = Over({1}), .opset = 11},
    {.op = "ReduceL1", .inputs = {Elements({3}, {3, -4, 0.5})}, .expect = std::vector<double>{7.5}},
    {.op = "ReduceL2", .inputs = {Elements({2}, {3, -4})}, .expect = std::vector<double>{5}},
    {.op = "ReduceL1",
     .inputs = {Ints({3}, {3, -4, 1}, DType::kInt32)},
     .expect = std::vector<double>{8}},
    {.op = "ReduceL1",
     .inputs = {Ints({17}, {3, -4, 1, -1, -1, -1, -1, -1, 2, 0, 0, 0, 0, 0, 0, 0, -2})},
     .expect = std::vector<double>{17}},
    {.op = "ReduceL2",
     .inputs = {Ints({2}, {3, -4}, DType::kInt32)},
     .expect = std::vector<double>{5}},
    {.op = "ReduceL2", .inputs = {Normal({0})}, .expect = std::vector<double>{0}},
    {.op = "ReduceSumSquare",
     .inputs = {Ints({3}, {3, -4, 1}, DType::kInt64)},
     .expect = std::vector<double>{26}},
    {.op = "ReduceL1",
     .inputs = {Elements({2}, {-3, 4}), Ints({0}, {})},
     .attributes = {{"noop_with_empty_axes", kOne}},
     .expect = std::vector<double>{3, 4}});

OP_CASES(
    ReduceLog, {.op = "ReduceLogSum", .inputs = {Uniform({2, 3}, 0.5, 2), Ints({1}, {1})}},
    {.op = "ReduceLogSum",
     .inputs = {Uniform({2, 3}, 0.5, 2)},
     .attributes = Over({0}, 0),
     .opset = 11},
    {.op = "ReduceLogSum",
     .inputs = {Normal({0})},
     .expect = std::vector<double>{-kInf},
     .order = 0},
    {.op = "ReduceLogSumExp", .inputs = {Normal({2, 3, 4}), Ints({2}, {0, -1})}},
    {.op = "ReduceLogSumExp", .inputs = {Normal({2, 3})}, .attributes = Over({0}, 0), .opset = 11},
    {.op = "ReduceLogSumExp",
     .inputs = {Elements({2}, {1000, 1000})},
     .expect = std::vector<double>{1000.6931471805599}},
    {.op = "ReduceLogSumExp",
     .inputs = {Elements({2}, {-kInf, -kInf})},
     .expect = std::vector<double>{-kInf},
     .order = 0},
    {.op = "ReduceLogSumExp",
     .inputs = {Normal({0})},
     .expect = std::vector<double>{-kInf},
     .order = 0});

}  // namespace
}  // namespace gradwire::testing
