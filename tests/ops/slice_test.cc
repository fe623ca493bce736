#include <limits>

#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

using List = std::vector<int64_t>;
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kZero = 0;
constexpr int64_t kOne = 1;

Input Counted(Dims dims) {
  std::vector<double> elements(static_cast<size_t>(NumElements(dims)));
  for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<double>(i + 1);
  return Elements(std::move(dims), std::move(elements));
}

OP_CASES(
    Slice,
    {.op = "Slice",
     .inputs = {Counted({3, 4}), Ints({2}, {-1, 3}), Ints({2}, {-100, -5}), Ints({2}, {0, 1}),
                Ints({2}, {-1, -2})},
     .expect = std::vector<double>{12, 10, 8, 6, 4, 2}},
    {.op = "Slice",
     .inputs = {Counted({3, 4})},
     .attributes = {{"starts", List{0, -3}}, {"ends", List{2, 100}}},
     .opset = 1,
     .expect = std::vector<double>{2, 3, 4, 6, 7, 8}},
    {.op = "Slice",
     .inputs = {Normal({2, 5, 3}), Ints({1}, {1}, DType::kInt32), Ints({1}, {4}, DType::kInt32),
                Ints({1}, {-2}, DType::kInt32)},
     .opset = 10},
    {.op = "Slice",
     .inputs = {Normal({7}), Ints({1}, {kMax}), Ints({1}, {kMin}), Absent(), Ints({1}, {-3})}},
    {.op = "Slice",
     .inputs = {Normal({7}), Ints({1}, {0}), Ints({1}, {kMax}), Ints({1}, {0}), Ints({1}, {kMax})}},
    {.op = "Slice", .inputs = {Normal({4, 2}), Ints({1}, {3}), Ints({1}, {1})}},  // empty
    {.op = "Slice",
     .inputs = {Bools({4}, {1, 0, 0, 1}), Ints({1}, {2}), Ints({1}, {4})},
     .expect = std::vector<double>{0, 1}},
    {.op = "Slice",
     .inputs = {Normal({4}), Ints({1}, {0}), Ints({1}, {4}), Ints({1}, {0}), Ints({1}, {0})},
     .error = "INVALID_ARGUMENT"},
    {.op = "Slice",
     .inputs = {Normal({4, 4}), Ints({2}, {0, 0}), Ints({2}, {2, 2}), Ints({2}, {1, -1})},
     .error = "INVALID_ARGUMENT"},
    {.op = "Slice",
     .inputs = {Normal({4, 4}), Ints({1}, {0}), Ints({2}, {2, 2})},
     .error = "INVALID_ARGUMENT"},
    {.op = "gradwire::Slice",
     .inputs = {Normal({5, 6, 2})},
     .attributes = {{"starts", List{4, 1}},
                    {"ends", List{0, 6}},
                    {"axes", List{0, 1}},
                    {"steps", List{-2, 2}}}},
    {.op = "gradwire::SliceGrad",
     .inputs = {Elements({2}, {5, 7})},
     .attributes = {{"starts", List{4}},
                    {"ends", List{0}},
                    {"axes", List{0}},
                    {"steps", List{-2}},
                    {"shape", List{5}}},
     .expect = std::vector<double>{0, 0, 7, 0, 5}},
    {.op = "gradwire::SliceGrad",
     .inputs = {Normal({3})},
     .attributes = {{"starts", List{4}}, {"ends", List{5}}, {"axes", List{0}}, {"shape", List{5}}},
     .error = "SHAPE_MISMATCH"});

OP_CASES(ReverseSequence,
         {.op = "ReverseSequence",
          .inputs = {Counted({3, 4}), Ints({4}, {1, 2, 3, 0})},
          .expect = std::vector<double>{1, 6, 11, 4, 5, 2, 7, 8, 9, 10, 3, 12}},
         {.op = "ReverseSequence",
          .inputs = {Counted({3, 4}), Ints({3}, {1, 2, 4})},
          .attributes = {{"time_axis", kOne}, {"batch_axis", kZero}},
          .expect = std::vector<double>{1, 2, 3, 4, 6, 5, 7, 8, 12, 11, 10, 9}},
         {.op = "ReverseSequence", .inputs = {Normal({4, 2, 3}), Ints({2}, {4, 3})}},
         {.op = "ReverseSequence",
          .inputs = {Normal({4, 2}), Ints({2}, {5, 3})},
          .error = "INVALID_ARGUMENT"},
         {.op = "ReverseSequence",
          .inputs = {Normal({4, 2}), Ints({3}, {1, 1, 3})},
          .error = "SHAPE_MISMATCH"});

}  // namespace
}  // namespace gradwire::testing
