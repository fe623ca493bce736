#include <limits>

#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Attributes To(DType dtype) { return {{"to", int64_t{static_cast<int>(dtype)}}}; }

// Float32 and float16 outputs are rounded, so that central differences do not see their slope.
OP_CASES(Cast, {.op = "Cast", .inputs = {Normal({2, 3})}, .attributes = To(DType::kFloat64)},
         {.op = "Cast", .inputs = {Normal({})}, .attributes = To(DType::kFloat64), .opset = 6},
         {.op = "Cast",
          .inputs = {Elements({6}, {1.9, -1.9, 0, 3e9, kNan, -kInf})},
          .attributes = To(DType::kInt32),
          .expect = {{1, -1, 0, -2147483648.0, -2147483648.0, -2147483648.0}},
          .order = 0,
          .float32_tolerance = 0},
         {.op = "Cast",
          .inputs = {Elements({4}, {300.5, -1, 255, kNan})},
          .attributes = To(DType::kUint8),
          .expect = {{44, 255, 255, 0}},
          .order = 0},
         {.op = "Cast",
          .inputs = {Elements({2}, {0x1.8p63, 5.5})},
          .attributes = To(DType::kUint64),
          .expect = {{0x1.8p63, 5}},
          .order = 0},
         {.op = "Cast",
          .inputs = {Elements({4}, {0, -0.0, 0.1, kNan})},
          .attributes = To(DType::kBool),
          .expect = {{0, 0, 1, 1}},
          .order = 0},
         {.op = "Cast",
          .inputs = {Elements({5}, {65519, 65520, 1.0 + 0x1p-11 + 0x1p-40, 0x1p-25, kNan})},
          .attributes = To(DType::kFloat16),
          .expect = {{65504, kInf, 1.0009765625, 0, kNan}},
          .order = 0,
          .float32_tolerance = 1e-2},
         {.op = "Cast",
          .inputs = {Elements({3}, {1.00390625, 1.01171875, kInf})},
          .attributes = To(DType::kBfloat16),
          .expect = {{1, 1.015625, kInf}},
          .order = 0},
         {.op = "Cast",
          .inputs = {Ints({3}, {300, -1, 128})},
          .attributes = To(DType::kInt8),
          .expect = {{44, -1, -128}},
          .order = 0},
         {.op = "Cast",
          .inputs = {Bools({2}, {1, 0})},
          .attributes = {{"to", std::string("DOUBLE")}},
          .opset = 1,
          .expect = {{1, 0}},
          .order = 0},
         {.op = "Cast",
          .inputs = {Elements({2}, {1.5, 2.5})},
          .attributes = {{"to", std::string("FLOAT")}},
          .opset = 1,
          .expect = {{1.5, 2.5}},
          .order = 0},
         {.op = "Cast", .inputs = {Normal({0, 2})}, .attributes = To(DType::kInt64), .order = 0},
         {.op = "Cast",
          .inputs = {Normal({2})},
          .attributes = To(DType::kComplex64),
          .error = "OP_UNSUPPORTED"},
         {.op = "Cast", .inputs = {Normal({2})}, .error = "INVALID_ARGUMENT"},
         {.op = "CastLike", .inputs = {Normal({2, 3}), Fixed(Normal({1}))}},
         {.op = "CastLike",
          .inputs = {Elements({2}, {1.5, -2.5}), Ints({}, {0}, DType::kInt16)},
          .expect = {{1, -2}},
          .order = 0});

}  // namespace
}  // namespace gradwire::testing
