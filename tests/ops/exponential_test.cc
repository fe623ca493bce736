#include <limits>

#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

OP_CASES(
    Exponential, {.op = "Exp", .inputs = {Normal({2, 3})}},
    {.op = "Exp", .inputs = {Normal({})}, .opset = 1}, {.op = "Exp", .inputs = {Normal({2, 0})}},
    {.op = "Exp",
     .inputs = {Elements({6}, {-2, -0.5, 0, 2, -kInf, 1000})},
     .expect = {{0.1353352832366127, 0.6065306597126334, 1, 7.38905609893065, 0, kInf}},
     .order = 0,
     .float32_tolerance = 1e-6},
    {.op = "Exp", .inputs = {Uniform({1000}, -80, 80)}, .order = 0, .float32_tolerance = 1e-5},
    {.op = "Exp", .inputs = {Ints({2}, {1, 2})}, .error = "OP_UNSUPPORTED"},
    {.op = "Log", .inputs = {Uniform({2, 3}, 0.2, 3)}},
    {.op = "Log",
     .inputs = {Elements({5}, {0.1, 1, 3, 0, -1})},
     .expect = {{-2.3025850929940455, 0, 1.0986122886681098, -kInf, kNan}},
     .order = 0},
    {.op = "Log", .inputs = {Uniform({1000}, 0.01, 20)}, .order = 0, .float32_tolerance = 2e-6},
    {.op = "Sqrt", .inputs = {Uniform({2, 3}, 0.5, 3)}},
    {.op = "Sqrt",
     .inputs = {Elements({4}, {0, 2, 3, -1})},
     .expect = {{0, 1.4142135623730951, 1.7320508075688772, kNan}},
     .order = 0},
    {.op = "Reciprocal", .inputs = {Uniform({2, 3}, 0.5, 3)}},
    {.op = "Reciprocal",
     .inputs = {Elements({4}, {0.3, -4, 7, 0})},
     .expect = {{3.3333333333333335, -0.25, 0.14285714285714285, kInf}},
     .order = 0},
    {.op = "Erf", .inputs = {Normal({2, 3})}},
    {.op = "Erf",
     .inputs = {Elements({5}, {-2, -0.5, 0, 0.5, 2})},
     .expect = {{-0.9953222650189527, -0.5204998778130465, 0, 0.5204998778130465,
                 0.9953222650189527}}},
    {.op = "Erf", .inputs = {Uniform({1000}, -5, 5)}, .order = 0, .float32_tolerance = 1e-6});

}  // namespace
}  // namespace gradwire::testing
