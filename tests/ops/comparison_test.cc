#include <limits>

#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

OP_CASES(
    Comparison,
    {.op = "Equal",
     .inputs = {Elements({2, 2}, {1, 2, kNan, kInf}), Elements({2}, {1, kInf})},
     .expect = {{1, 0, 0, 1}},
     .order = 0},
    {.op = "Equal", .inputs = {Bools({2}, {1, 0}), Bools({}, {0})}, .expect = {{0, 1}}, .order = 0},
    {.op = "Equal",
     .inputs = {Ints({2, 2}, {1, 2, 3, 4}), Ints({2}, {1, 3})},
     .attributes = {{"broadcast", int64_t{1}}, {"axis", int64_t{0}}},
     .opset = 1,
     .expect = {{1, 0, 1, 0}},
     .order = 0},
    {.op = "Less",
     .inputs = {Elements({3}, {1, 2, kNan}), Elements({3}, {2, 2, 1})},
     .expect = {{1, 0, 0}},
     .order = 0},
    {.op = "Less",
     .inputs = {Elements({2}, {1, 2}), Elements({2}, {2, 2})},
     .opset = 6,
     .expect = {{1, 0}},
     .order = 0},
    {.op = "LessOrEqual",
     .inputs = {Elements({3}, {1, 2, 3}), Elements({}, {2})},
     .expect = {{1, 1, 0}},
     .order = 0},
    {.op = "Greater",
     .inputs = {Ints({3}, {1, 2, 200}, DType::kUint8), Ints({1}, {2}, DType::kUint8)},
     .expect = {{0, 0, 1}},
     .order = 0},
    {.op = "Greater",
     .inputs = {Elements({2}, {1, 2}), Elements({2}, {2, 1})},
     .opset = 1,
     .expect = {{0, 1}},
     .order = 0},
    {.op = "GreaterOrEqual",
     .inputs = {Ints({1}, {2}, DType::kInt8), Ints({3}, {1, 2, 3}, DType::kInt8)},
     .expect = {{1, 1, 0}},
     .order = 0},
    {.op = "Less", .inputs = {Normal({0}), Normal({1})}, .order = 0},
    {.op = "Less", .inputs = {Normal({2}), Normal({3})}, .error = "SHAPE_MISMATCH"},
    {.op = "Less", .inputs = {Bools({2}, {0, 1}), Bools({2}, {0, 1})}, .error = "OP_UNSUPPORTED"},
    {.op = "Greater", .inputs = {Normal({2}), Ints({2}, {1, 2})}, .error = "DTYPE_MISMATCH"},
    {.op = "IsNaN", .inputs = {Elements({3}, {1, kNan, kInf})}, .expect = {{0, 1, 0}}, .order = 0},
    {.op = "IsNaN", .inputs = {{{2}, {1, kNan}, DType::kBfloat16}}, .expect = {{0, 1}}, .order = 0},
    {.op = "IsInf",
     .inputs = {Elements({4}, {1, kNan, kInf, -kInf})},
     .expect = {{0, 0, 1, 1}},
     .order = 0},
    {.op = "IsInf",
     .inputs = {Elements({4}, {1, kNan, kInf, -kInf})},
     .attributes = {{"detect_negative", int64_t{0}}},
     .expect = {{0, 0, 1, 0}},
     .order = 0},
    {.op = "IsInf",
     .inputs = {Elements({2}, {kInf, -kInf})},
     .attributes = {{"detect_positive", int64_t{0}}},
     .expect = {{0, 1}},
     .order = 0});

}  // namespace
}  // namespace gradwire::testing
