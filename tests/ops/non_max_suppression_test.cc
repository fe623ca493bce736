#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

// Two pairs of boxes that cover each other well, one pair that does not, each by its corners.
Input Boxes() {
  return Elements({1, 6, 4}, {0, 0,  1, 1,  0, 0.1,  1, 1.1,  0, -0.1, 1, 0.9,
                              0, 10, 1, 11, 0, 10.1, 1, 11.1, 0, 100,  1, 101});
}
Input Centered() {
  return Elements({1, 6, 4}, {0.5, 0.5,  1, 1, 0.5, 0.6,  1, 1, 0.5, 0.4,   1, 1,
                              0.5, 10.5, 1, 1, 0.5, 10.6, 1, 1, 0.5, 100.5, 1, 1});
}
Input Scores() { return Elements({1, 1, 6}, {0.9, 0.75, 0.6, 0.95, 0.5, 0.3}); }

OP_CASES(
    NonMaxSuppression,
    {.op = "NonMaxSuppression",
     .inputs = {Boxes(), Scores(), Ints({1}, {3}), Elements({1}, {0.5}), Elements({1}, {0})},
     .expect = std::vector<double>{0, 0, 3, 0, 0, 0, 0, 0, 5},
     .order = 0},
    {.op = "NonMaxSuppression",
     .inputs = {Centered(), Scores(), Ints({}, {3}), Elements({}, {0.5}), Elements({}, {0.4})},
     .attributes = {{"center_point_box", int64_t{1}}},
     .opset = 10,
     .expect = std::vector<double>{0, 0, 3, 0, 0, 0},
     .order = 0},
    {.op = "NonMaxSuppression",  // any overlap is too much
     .inputs = {Boxes(), Scores(), Ints({1}, {2})},
     .expect = std::vector<double>{0, 0, 3, 0, 0, 0},
     .order = 0},
    {.op = "NonMaxSuppression",  // of equal scores the first box
     .inputs = {Elements({1, 2, 4}, {0, 0, 1, 1, 0, 0, 1, 1}),
                Elements({1, 2, 2}, {0.5, 0.5, 0.1, 0.2}), Ints({1}, {2}), Elements({1}, {0.5})},
     .expect = std::vector<double>{0, 0, 0, 0, 1, 1},
     .order = 0},
    {.op = "NonMaxSuppression",
     .inputs = {Boxes(), Scores()},
     .expect = std::vector<double>{},
     .order = 0},
    {.op = "NonMaxSuppression", .inputs = {Boxes(), Normal({1, 1, 5})}, .error = "SHAPE_MISMATCH"},
    {.op = "NonMaxSuppression",
     .inputs = {Boxes(), Scores(), Ints({2}, {1, 2})},
     .error = "SHAPE_MISMATCH"});

}  // namespace
}  // namespace gradwire::testing
