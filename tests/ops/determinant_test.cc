#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

Input Matrices() {
  return Elements({2, 3, 3}, {1.26, 1.47, 1.48, 1.29, 0.92, 0.43, -0.12, -0.65, -1.1, 0.21, -0.34,
                              -0.84, -1.24, -1.46, -1.49, -1.31, -0.96, 2.5});
}
// The last row is the sum of the others.
Input Singular() { return Elements({3, 3}, {1, 2, 3, 4, 5, 7, 5, 7, 10}); }

OP_CASES(Det,
         {.op = "Det",
          .inputs = {Matrices()},
          .expect = std::vector<double>{0.009540000000000128, -2.1778820000000003}},
         {.op = "Det",
          .inputs = {Elements({2, 2}, {0, 1, 1, 0})},
          .expect = std::vector<double>{-1}},
         {.op = "Det", .inputs = {Singular()}, .expect = std::vector<double>{0}},
         {.op = "Det", .inputs = {Elements({3, 3}, {0, 0, 0, 0, 0, 0, 0, 0, 2})}},
         {.op = "Det", .inputs = {Normal({2, 1, 4, 4})}, .opset = 11},
         {.op = "Det", .inputs = {Normal({1, 1})}}, {.op = "Det", .inputs = {Normal({0, 2, 2})}},
         {.op = "Det", .inputs = {Normal({2, 0, 0})}, .expect = std::vector<double>{1, 1}},
         {.op = "Det", .inputs = {Normal({2, 3})}, .error = "SHAPE_MISMATCH"},
         {.op = "Det", .inputs = {Normal({3})}, .error = "SHAPE_MISMATCH"});

OP_CASES(Cofactor, {.op = "gradwire::Cofactor", .inputs = {Matrices()}},
         // By hand: the last row is the sum of the others.
         {.op = "gradwire::Cofactor",
          .inputs = {Singular()},
          .expect = std::vector<double>{1, -5, 3, 1, -5, 3, -1, 5, -3},
          .order = 0},
         {.op = "gradwire::Cofactor",
          .inputs = {Elements({2, 2}, {1, 2, 3, 4})},
          .expect = std::vector<double>{4, -3, -2, 1}});

OP_CASES(CofactorGrad,
         // By hand: cof([a b; c d]) = [d -c; -b a].
         {.op = "gradwire::CofactorGrad",
          .inputs = {Elements({2, 2}, {0, 0, 0, 5}), Elements({2, 2}, {1, 2, 3, 4})},
          .expect = std::vector<double>{4, -3, -2, 1},
          .order = 0},
         {.op = "gradwire::CofactorGrad", .inputs = {Matrices(), Normal({2, 3, 3})}},
         {.op = "gradwire::CofactorGrad",
          .inputs = {Normal({2, 2}), Normal({3, 3})},
          .error = "SHAPE_MISMATCH"});

OP_CASES(Inverse,
         {.op = "gradwire::Inverse",
          .inputs = {Elements({2, 2}, {0, 2, 4, 1})},
          .expect = std::vector<double>{-0.125, 0.25, 0.5, 0}},
         {.op = "gradwire::Inverse",
          .inputs = {Elements({1, 3, 3}, {0.5, 1, 3, 2, -3, 0.5, -4, 0.2, 1.5})}},
         {.op = "gradwire::Inverse", .inputs = {Normal({2, 3})}, .error = "SHAPE_MISMATCH"});

}  // namespace
}  // namespace gradwire::testing
