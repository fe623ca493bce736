#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

constexpr int64_t kZero = 0;
constexpr int64_t kOne = 1;

// Expected values: numpy, from the definitions in onnx.reference.
OP_CASES(
    Softmax,
    {.op = "Softmax",
     .inputs = {Elements({1, 3}, {1, 2, 3})},
     .expect = std::vector<double>{0.09003057317038046, 0.24472847105479767, 0.6652409557748219}},
    {.op = "Softmax", .inputs = {Normal({3, 37})}},
    {.op = "Softmax", .inputs = {Normal({2, 3, 5})}, .attributes = {{"axis", kOne}}},
    {.op = "Softmax", .inputs = {Normal({4, 300})}, .attributes = {{"axis", kZero}}},
    {.op = "Softmax", .inputs = {Normal({})}, .expect = std::vector<double>{1}},
    {.op = "Softmax", .inputs = {Normal({0, 3})}}, {.op = "Softmax", .inputs = {Normal({3, 0})}},
    {.op = "Softmax",
     .inputs = {Elements({3}, {1000, 1000, -1000})},
     .expect = std::vector<double>{0.5, 0.5, 0}},
    {.op = "Softmax", .inputs = {Normal({2, 3, 2})}, .opset = 11},
    {.op = "Softmax",
     .inputs = {Elements({1, 2, 2}, {0, 0, 0, 0})},
     .opset = 1,
     .expect = std::vector<double>{0.25, 0.25, 0.25, 0.25}},
    {.op = "Softmax",
     .inputs = {Normal({2})},
     .attributes = {{"axis", kOne}},
     .error = "INVALID_ARGUMENT"},
    {.op = "LogSoftmax",
     .inputs = {Elements({1, 3}, {1, 2, 3})},
     .expect = std::vector<double>{-2.4076059644443806, -1.4076059644443806, -0.4076059644443806}},
    // Its derivative multiplies the rounding of y, in bfloat16 up to 2^-7 where y is about -2, by
    // exp(y) times the 37 that dy has in all: up to 0.014 of 1 + |dx|.
    {.op = "LogSoftmax", .inputs = {Normal({3, 37})}, .half_tolerance = 0x1p-6},
    {.op = "LogSoftmax", .inputs = {Normal({2, 3, 5})}, .attributes = {{"axis", kOne}}},
    {.op = "LogSoftmax", .inputs = {Normal({2, 3, 2})}, .opset = 11},
    {.op = "LogSoftmax", .inputs = {Normal({})}},
    {.op = "LogSoftmax",
     .inputs = {Elements({2}, {1000, 0})},
     .expect = std::vector<double>{0, -1000}},
    {.op = "gradwire::SoftmaxGrad", .inputs = {Normal({3, 5}), Normal({3, 5})}},
    {.op = "gradwire::SoftmaxGrad",
     .inputs = {Normal({3, 5, 2}), Normal({3, 5, 2})},
     .attributes = {{"axis", kOne}}},
    {.op = "gradwire::LogSoftmaxGrad", .inputs = {Normal({3, 5}), Uniform({3, 5}, -3, -0.1)}},
    {.op = "Hardmax",
     .inputs = {Elements({2, 3}, {1, 3, 3, 0, -1, -2})},
     .expect = std::vector<double>{0, 1, 0, 1, 0, 0},
     .order = 0},
    {.op = "Hardmax", .inputs = {Distinct({2, 3, 2})}, .attributes = {{"axis", kOne}}},
    {.op = "Hardmax", .inputs = {Distinct({2, 3, 2})}, .opset = 1},
    {.op = "Hardmax", .inputs = {Normal({})}});

}  // namespace
}  // namespace gradwire::testing
