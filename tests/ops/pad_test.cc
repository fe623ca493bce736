#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

using List = std::vector<int64_t>;

Attributes Mode(const std::string& mode) { return {{"mode", mode}}; }

OP_CASES(Pad,
         {.op = "gradwire::Pad",
          .inputs = {Normal({2, 3}), Normal({})},
          .attributes = {{"pads", List{1, -1, 0, 2}}}},
         {.op = "gradwire::Pad",
          .inputs = {Normal({2, 3})},
          .attributes = {{"pads", List{0, -1, -2, -1}}}},
         {.op = "gradwire::Pad", .inputs = {Normal({})}, .attributes = {{"pads", List{}}}},
         {.op = "gradwire::Pad", .inputs = {Normal({0})}, .attributes = {{"pads", List{2, 1}}}},
         {.op = "Pad",
          .inputs = {Elements({2, 2}, {1, 2, 3, 4}), Ints({4}, {1, 0, 0, 2}), Elements({}, {7})},
          .expect = std::vector<double>{7, 7, 7, 7, 1, 2, 7, 7, 3, 4, 7, 7}},
         {.op = "Pad", .inputs = {Normal({2, 3, 2}), Ints({2}, {1, 2}), Absent(), Ints({1}, {-2})}},
         {.op = "Pad",
          .inputs = {Elements({4}, {1, 2, 3, 4}), Ints({2}, {5, 2})},
          .attributes = Mode("reflect"),
          .expect = std::vector<double>{2, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2}},
         {.op = "Pad",
          .inputs = {Elements({4}, {1, 2, 3, 4}), Ints({2}, {5, 6})},
          .attributes = Mode("wrap"),
          .expect = std::vector<double>{4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2}},
         {.op = "Pad",
          .inputs = {Elements({2, 2}, {1, 2, 3, 4}), Ints({4}, {1, 1, 0, 2})},
          .attributes = Mode("edge"),
          .opset = 13,
          .expect = std::vector<double>{1, 1, 2, 2, 2, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4}},
         {.op = "Pad",
          .inputs = {Normal({3, 4}), Ints({4}, {2, -1, 1, 3})},
          .attributes = Mode("reflect")},
         {.op = "Pad", .inputs = {Normal({3}), Ints({2}, {0, 0})}, .attributes = Mode("edge")},
         {.op = "Pad",
          .inputs = {Elements({2}, {1, 2})},
          .attributes = {{"pads", List{1, 0}}, {"value", 0.5}},
          .opset = 2,
          .expect = std::vector<double>{0.5, 1, 2}},
         {.op = "Pad",
          .inputs = {Normal({2})},
          .attributes = {{"paddings", List{1, 1}}, {"mode", std::string("edge")}},
          .opset = 1},
         {.op = "Pad",
          .inputs = {Ints({2}, {1, 2}), Ints({2}, {1, 1}), Ints({}, {9})},
          .expect = std::vector<double>{9, 1, 2, 9}},
         {.op = "Pad", .inputs = {Normal({3}), Ints({2}, {-2, -2})}, .error = "SHAPE_MISMATCH"},
         {.op = "Pad", .inputs = {Normal({3}), Ints({1}, {1})}, .error = "INVALID_ARGUMENT"},
         {.op = "Pad",
          .inputs = {Normal({0}), Ints({2}, {1, 1})},
          .attributes = Mode("edge"),
          .error = "SHAPE_MISMATCH"},
         {.op = "Pad",
          .inputs = {Normal({3}), Ints({2}, {1, 1})},
          .attributes = Mode("wrap"),
          .opset = 18,
          .error = "INVALID_ARGUMENT"});

}  // namespace
}  // namespace gradwire::testing
