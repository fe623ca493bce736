#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

using List = std::vector<int64_t>;
constexpr int64_t kZero = 0;
constexpr int64_t kOne = 1;

OP_CASES(Concat,
         {.op = "Concat",
          .inputs = {Elements({2, 1}, {1, 2}), Elements({2, 2}, {3, 4, 5, 6})},
          .attributes = {{"axis", kOne}},
          .expect = std::vector<double>{1, 3, 4, 2, 5, 6}},
         {.op = "Concat",
          .inputs = {Normal({2, 3, 4}), Normal({2, 1, 4}), Normal({2, 0, 4}), Normal({2, 2, 4})},
          .attributes = {{"axis", int64_t{-2}}}},
         {.op = "Concat", .inputs = {Normal({3})}, .attributes = {{"axis", kZero}}},
         {.op = "Concat",
          .inputs = {Normal({0, 2}), Normal({0, 2})},
          .attributes = {{"axis", kZero}}},
         {.op = "Concat",  // in opset 1 the axis is 1 where absent
          .inputs = {Elements({2, 1}, {1, 2}), Elements({2, 1}, {3, 4})},
          .opset = 1,
          .expect = std::vector<double>{1, 3, 2, 4}},
         {.op = "Concat",
          .inputs = {Ints({2}, {1, 2}, DType::kInt8), Ints({1}, {3}, DType::kInt8)},
          .attributes = {{"axis", kZero}},
          .expect = std::vector<double>{1, 2, 3}},
         {.op = "Concat", .inputs = {Normal({2})}, .opset = 4, .error = "INVALID_ARGUMENT"},
         {.op = "Concat",
          .inputs = {Normal({2, 3}), Normal({3, 3})},
          .attributes = {{"axis", kOne}},
          .error = "SHAPE_MISMATCH"},
         {.op = "Concat",
          .inputs = {Normal({2}), Ints({2}, {1, 2})},
          .attributes = {{"axis", kZero}},
          .error = "DTYPE_MISMATCH"},
         {.op = "Concat",
          .inputs = {Normal({})},
          .attributes = {{"axis", kZero}},
          .error = "INVALID_ARGUMENT"});

OP_CASES(
    Split,
    {.op = "gradwire::Split",
     .inputs = {Normal({3, 6})},
     .attributes = {{"axis", kOne}, {"split", List{1, 0, 5}}},
     .outputs = 3},
    {.op = "gradwire::Split",
     .inputs = {Normal({3, 6})},
     .attributes = {{"axis", kOne}, {"split", List{1, 2}}},
     .outputs = 2,
     .error = "SHAPE_MISMATCH"},
    {.op = "Split",
     .inputs = {Elements({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8})},
     .attributes = {{"axis", int64_t{-1}}, {"num_outputs", int64_t{2}}},
     .outputs = 2,
     .expect = std::vector<double>{1, 2, 5, 6}},
    {.op = "Split",
     .inputs = {Normal({7, 2})},
     .attributes = {{"num_outputs", int64_t{3}}},
     .outputs = 3},
    {.op = "Split", .inputs = {Normal({5, 2}), Ints({2}, {4, 1})}, .outputs = 2},
    {.op = "Split",
     .inputs = {Elements({6}, {1, 2, 3, 4, 5, 6})},
     .outputs = 3,
     .opset = 13,
     .expect = std::vector<double>{1, 2}},
    {.op = "Split", .inputs = {Normal({5})}, .outputs = 2, .opset = 13, .error = "SHAPE_MISMATCH"},
    {.op = "Split",
     .inputs = {Normal({5})},
     .attributes = {{"split", List{2, 3}}},
     .outputs = 2,
     .opset = 11},
    {.op = "Split",
     .inputs = {Normal({4}), Fixed(Elements({2}, {1, 3}))},
     .outputs = 2,
     .opset = 1},
    {.op = "Split",
     .inputs = {Normal({4}), Ints({2}, {2, 2})},
     .outputs = 3,
     .error = "INVALID_ARGUMENT"});

}  // namespace
}  // namespace gradwire::testing
