#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

OP_CASES(Where,
         {.op = "Where", .inputs = {Bools({2, 2}, {0, 1, 1, 0}), Normal({2, 2}), Normal({2, 2})}},
         {.op = "Where", .inputs = {Bools({2, 1}, {0, 1}), Normal({3}), Normal({})}},
         {.op = "Where", .inputs = {Bools({3}, {0, 1, 0}), Normal({}), Normal({2, 3})}},
         {.op = "Where", .inputs = {Bools({3}, {0, 1, 0}), Normal({1}), Normal({2, 1})}},
         {.op = "Where", .inputs = {Bools({}, {1}), Normal({2, 3}), Normal({3})}},
         {.op = "Where", .inputs = {Bools({4, 1, 1}, {0, 1, 1, 0}), Normal({3, 1}), Normal({2})}},
         {.op = "Where", .inputs = {Bools({0}, {}), Normal({1}), Normal({0})}},
         {.op = "Where",
          .inputs = {Bools({3}, {1, 0, 1}), Elements({3}, {1, 2, 3}), Elements({1}, {-1})},
          .expect = {{1, -1, 3}}},
         {.op = "Where",
          .inputs = {Bools({2}, {1, 0}), Ints({2}, {1, 2}, DType::kInt8),
                     Ints({2}, {3, 4}, DType::kInt8)},
          .expect = {{1, 4}},
          .order = 0},
         {.op = "Where",
          .inputs = {Bools({2}, {1, 0}),
                     {{2}, {1.5, 2}, DType::kFloat16},
                     {{2}, {3, 4.5}, DType::kFloat16}},
          .expect = {{1.5, 4.5}},
          .order = 0},
         {.op = "Where",
          .inputs = {Bools({2}, {1, 0}), Normal({2}), Ints({2}, {3, 4})},
          .error = "DTYPE_MISMATCH"},
         {.op = "Where",
          .inputs = {Bools({2}, {1, 0}), Normal({3}), Normal({2})},
          .error = "SHAPE_MISMATCH"});

}  // namespace
}  // namespace gradwire::testing
