#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

using List = std::vector<int64_t>;
constexpr int64_t kOne = 1;

Input Twelve() { return Elements({3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}); }
Input Eight() { return Elements({2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7}); }

OP_CASES(Gather,
         {.op = "Gather",
          .inputs = {Twelve(), Ints({2, 2}, {0, -1, 2, 1})},
          .attributes = {{"axis", kOne}},
          .expect = std::vector<double>{1, 4, 3, 2, 5, 8, 7, 6, 9, 12, 11, 10}},
         {.op = "Gather", .inputs = {Normal({5, 3}), Ints({4}, {4, 0, 4, -5}, DType::kInt32)}},
         {.op = "Gather", .inputs = {Normal({5, 3}), Ints({}, {2})}},
         {.op = "Gather",
          .inputs = {Normal({2, 3, 4}), Ints({2, 1}, {2, 2})},
          .attributes = {{"axis", int64_t{-2}}}},
         {.op = "Gather", .inputs = {Normal({5, 3}), Ints({0}, {})}},
         {.op = "Gather",
          .inputs = {Bools({3}, {1, 0, 1}), Ints({2}, {1, 2})},
          .expect = std::vector<double>{0, 1}},
         {.op = "Gather", .inputs = {Normal({3}), Ints({1}, {3})}, .error = "INVALID_ARGUMENT"},
         {.op = "Gather", .inputs = {Normal({3}), Ints({1}, {-4})}, .error = "INVALID_ARGUMENT"},
         {.op = "Gather", .inputs = {Normal({0, 2}), Ints({1}, {0})}, .error = "INVALID_ARGUMENT"},
         {.op = "Gather",
          .inputs = {Normal({3}), Fixed(Elements({1}, {0}))},
          .error = "DTYPE_MISMATCH"},
         {.op = "gradwire::ScatterAdd",
          .inputs = {Normal({4, 300}), Ints({4}, {4, 0, 4, 2})},
          .attributes = {{"axis", int64_t{0}}, {"shape", List{5, 300}}}},
         {.op = "gradwire::ScatterAdd",
          .inputs = {Elements({2, 3}, {1, 2, 3, 4, 5, 6}), Ints({3}, {1, 0, -2})},
          .attributes = {{"axis", kOne}, {"shape", List{2, 3}}},
          .expect = std::vector<double>{2, 4, 0, 5, 10, 0}},
         {.op = "gradwire::ScatterAdd",
          .inputs = {Normal({4}), Ints({4}, {4, 0, 4, 2})},
          .attributes = {{"axis", int64_t{0}}, {"shape", List{5, 2}}},
          .error = "SHAPE_MISMATCH"});

OP_CASES(GatherElements,
         {.op = "GatherElements",
          .inputs = {Twelve(), Ints({2, 4}, {0, 1, 2, -1, 2, 1, 0, 0})},
          .expect = std::vector<double>{1, 6, 11, 12, 9, 6, 3, 4}},
         {.op = "GatherElements",
          .inputs = {Twelve(), Ints({3, 2}, {0, 3, 2, 1, -1, 0})},
          .attributes = {{"axis", kOne}},
          .expect = std::vector<double>{1, 4, 7, 6, 12, 9}},
         {.op = "GatherElements",
          .inputs = {Normal({2, 3, 2}), Ints({2, 1, 2}, {2, 0, -1, 2}, DType::kInt32)},
          .attributes = {{"axis", int64_t{-2}}}},
         {.op = "GatherElements", .inputs = {Normal({2, 3}), Ints({0, 3}, {})}},
         {.op = "GatherElements",
          .inputs = {Normal({2, 3}), Ints({1, 1}, {2})},
          .error = "INVALID_ARGUMENT"},
         {.op = "GatherElements",
          .inputs = {Normal({2, 3}), Ints({1, 4}, {0, 0, 0, 0})},
          .error = "SHAPE_MISMATCH"});

OP_CASES(GatherND,
         {.op = "GatherND",
          .inputs = {Eight(), Ints({2, 1, 2}, {0, 1, 1, 0})},
          .expect = std::vector<double>{2, 3, 4, 5}},
         {.op = "GatherND",
          .inputs = {Eight(), Ints({2, 1}, {1, 0})},
          .attributes = {{"batch_dims", kOne}},
          .expect = std::vector<double>{2, 3, 4, 5}},
         {.op = "GatherND", .inputs = {Normal({3, 4}), Ints({3, 2}, {0, -1, 2, 2, 0, 3})}},
         {.op = "GatherND",
          .inputs = {Normal({2, 3, 4}), Ints({2, 2, 1}, {0, -1, 2, 2})},
          .attributes = {{"batch_dims", kOne}}},
         {.op = "GatherND",
          .inputs = {Normal({3, 4}), Ints({1, 2}, {0, 4})},
          .error = "INVALID_ARGUMENT"},
         {.op = "GatherND",
          .inputs = {Normal({3}), Ints({1, 2}, {0, 0})},
          .error = "SHAPE_MISMATCH"},
         {.op = "GatherND",
          .inputs = {Normal({3, 4}), Ints({3, 1}, {0, 1, 2})},
          .attributes = {{"batch_dims", int64_t{2}}},
          .error = "INVALID_ARGUMENT"});

OP_CASES(Compress,
         {.op = "Compress",
          .inputs = {Twelve(), Bools({3}, {0, 1, 1})},
          .attributes = {{"axis", kOne}},
          .expect = std::vector<double>{2, 3, 6, 7, 10, 11}},
         {.op = "Compress", .inputs = {Normal({2, 3}), Bools({5}, {0, 1, 0, 0, 1})}},
         {.op = "Compress",
          .inputs = {Normal({2}), Bools({3}, {0, 1, 0})},
          .error = "SHAPE_MISMATCH"});

}  // namespace
}  // namespace gradwire::testing
