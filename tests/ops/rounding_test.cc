#include <limits>

#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

OP_CASES(
    Rounding, {.op = "Abs", .inputs = {Distinct({3, 4})}},
    {.op = "Abs", .inputs = {Elements({}, {-2})}, .opset = 1},
    {.op = "Abs",
     .inputs = {Elements({5}, {-2, -0.0, 3, kNan, -kInf})},
     .expect = {{2, 0, 3, kNan, kInf}},
     .order = 0},
    {.op = "Abs",
     .inputs = {Ints({3}, {-128, -1, 7}, DType::kInt8)},
     .expect = {{-128, 1, 7}},
     .order = 0},
    {.op = "Abs", .inputs = {Ints({2}, {200, 0}, DType::kUint8)}, .expect = {{200, 0}}, .order = 0},
    {.op = "Sign", .inputs = {Distinct({3, 4})}},
    {.op = "Sign",
     .inputs = {Elements({4}, {-2.5, 0, 0.5, kNan})},
     .expect = {{-1, 0, 1, kNan}},
     .order = 0},
    {.op = "Sign", .inputs = {Ints({3}, {-3, 0, 9})}, .expect = {{-1, 0, 1}}, .order = 0},
    {.op = "Sign", .inputs = {Ints({2}, {0, 9}, DType::kUint16)}, .expect = {{0, 1}}, .order = 0},
    {.op = "Floor", .inputs = {Distinct({3, 4})}},
    {.op = "Floor",
     .inputs = {Elements({4}, {-2.5, -0.5, 0.5, 2})},
     .expect = {{-3, -1, 0, 2}},
     .order = 0},
    {.op = "Ceil", .inputs = {Distinct({3, 4})}},
    {.op = "Ceil",
     .inputs = {Elements({4}, {-2.5, -0.5, 0.5, 2})},
     .expect = {{-2, 0, 1, 2}},
     .order = 0},
    {.op = "Round", .inputs = {Distinct({3, 4})}}, {.op = "Round", .inputs = {Normal({0, 2})}},
    {.op = "Round",
     .inputs = {Elements({7}, {-2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5})},
     .expect = {{-2, -2, 0, 0, 0, 2, 2}},
     .order = 0});

}  // namespace
}  // namespace gradwire::testing
