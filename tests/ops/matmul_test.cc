// Expected values: onnx 1.22.0's reference evaluator.
#include "tests/ops/op_case.h"
#include "tests/ops/pattern.h"

namespace gradwire::testing {
namespace {

constexpr int64_t kOne = 1;

Attributes Transposed(int64_t a, int64_t b) { return {{"trans_a", a}, {"trans_b", b}}; }

Input IntPattern(Dims dims, DType dtype) {
  Input input = Pattern(std::move(dims));
  input.dtype = dtype;
  for (double& x : input.elements) x += dtype == DType::kInt32 || dtype == DType::kInt64 ? 0 : 5;
  return input;
}

OP_CASES(MatMul, {.op = "gradwire::MatMul", .inputs = {Normal({3, 4}), Normal({4, 5})}},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({4, 3}), Normal({4, 5})},
          .attributes = Transposed(1, 0)},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({3, 4}), Normal({5, 4})},
          .attributes = Transposed(0, 1)},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({4, 3}), Normal({5, 4})},
          .attributes = Transposed(1, 1)},
         {.op = "gradwire::MatMul", .inputs = {Normal({2, 3, 4}), Normal({4, 5})}},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({2, 4, 3}), Normal({5, 4})},
          .attributes = Transposed(1, 1)},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({2, 3, 4}), Normal({5, 4})},
          .attributes = Transposed(0, 1)},
         {.op = "gradwire::MatMul", .inputs = {Normal({3, 4}), Normal({2, 4, 5})}},
         {.op = "gradwire::MatMul", .inputs = {Normal({2, 1, 3, 4}), Normal({3, 4, 2})}},
         {.op = "gradwire::MatMul", .inputs = {Normal({3, 4}), Normal({4, 5}), Normal({5})}},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({2, 3, 4}), Normal({2, 5, 4}), Normal({5})},
          .attributes = Transposed(0, 1)},
         {.op = "gradwire::MatMul", .inputs = {Normal({3, 0}), Normal({0, 5})}},
         {.op = "gradwire::MatMul", .inputs = {Normal({3, 0}), Normal({0, 5}), Normal({5})}},
         {.op = "gradwire::MatMul", .inputs = {Normal({0, 4}), Normal({4, 5})}},
         {.op = "gradwire::MatMul", .inputs = {Normal({0, 3, 4}), Normal({0, 4, 5})}},
         {.op = "gradwire::MatMul", .inputs = {Normal({1, 7}), Normal({7, 1})}},
         {.op = "gradwire::MatMul", .inputs = {Normal({103, 300}), Normal({300, 67})}, .order = 1},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({300, 67}), Normal({103, 300})},
          .attributes = Transposed(1, 1),
          .order = 1},
         {.op = "gradwire::MatMul", .inputs = {Normal({5, 40}), Normal({40, 1100})}, .order = 1},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({3, 4}), Normal({5, 4})},
          .error = "SHAPE_MISMATCH"},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({2, 3, 4}), Normal({3, 4, 5})},
          .error = "SHAPE_MISMATCH"},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({3, 4}), Normal({4, 5}), Normal({4})},
          .error = "SHAPE_MISMATCH"},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({4}), Normal({4, 5})},
          .error = "SHAPE_MISMATCH"},
         {.op = "gradwire::MatMul",
          .inputs = {Normal({3, 4}), Ints({4, 1}, {1, 2, 3, 4})},
          .error = "DTYPE_MISMATCH"},
         {.op = "MatMul",
          .inputs = {Pattern({2, 3}), Pattern({3, 4})},
          .expect = std::vector<double>{35, -22, 20, -15, -12, -2, -3, 40}},
         {.op = "MatMul",
          .inputs = {Pattern({2, 1, 2, 3}), Pattern({3, 3, 2})},
          .expect = std::vector<double>{19,  6,  -30, 24, -26, 16, 19, 18, 6,  4,   24, -21,
                                        -24, 20, -18, 16, 20,  20, 21, 22, 20, -24, 16, -27}},
         {.op = "MatMul", .inputs = {Normal({4}), Normal({4, 5})}},
         {.op = "MatMul", .inputs = {Normal({3, 4}), Normal({4})}},
         {.op = "MatMul", .inputs = {Normal({4}), Normal({4})}, .opset = 1},
         {.op = "MatMul", .inputs = {Normal({2, 3, 4}), Normal({4})}},
         {.op = "MatMul",
          .inputs = {IntPattern({2, 3}, DType::kInt32), IntPattern({3, 4}, DType::kInt32)},
          .expect = std::vector<double>{35, -22, 20, -15, -12, -2, -3, 40}},
         {.op = "MatMul",
          .inputs = {IntPattern({2, 3}, DType::kInt64), IntPattern({3, 4}, DType::kInt64)},
          .expect = std::vector<double>{35, -22, 20, -15, -12, -2, -3, 40}},
         {.op = "MatMul",
          .inputs = {Ints({1, 2}, {3, 4000000000}, DType::kUint32),
                     Ints({2, 1}, {5, 2}, DType::kUint32)},
          .expect = std::vector<double>{3705032719}},
         {.op = "MatMul",
          .inputs = {Ints({1, 2}, {3, 4}, DType::kUint64), Ints({2, 1}, {5, 6}, DType::kUint64)},
          .expect = std::vector<double>{39}},
         {.op = "MatMul", .inputs = {Normal({}), Normal({4})}, .error = "SHAPE_MISMATCH"});

OP_CASES(Gemm,
         {.op = "Gemm",
          .inputs = {Pattern({3, 2}), Pattern({4, 3}), Pattern({4})},
          .attributes = {{"alpha", 0.5}, {"beta", 2.0}, {"transA", kOne}, {"transB", kOne}},
          .expect = std::vector<double>{-0.5, -11, -16, 1, -7, 16, 6, 18}},
         {.op = "Gemm", .inputs = {Normal({3, 2}), Normal({2, 4})}},
         {.op = "Gemm", .inputs = {Normal({3, 2}), Normal({2, 4}), Normal({4})}},
         {.op = "Gemm",
          .inputs = {Normal({3, 2}), Normal({4, 2}), Normal({1, 4})},
          .attributes = {{"transB", kOne}, {"beta", 0.5}}},
         {.op = "Gemm", .inputs = {Normal({3, 2}), Normal({2, 4}), Normal({3, 4})}},
         {.op = "Gemm", .inputs = {Normal({3, 2}), Normal({2, 4}), Normal({3, 1})}},
         {.op = "Gemm", .inputs = {Normal({3, 2}), Normal({2, 4}), Normal({})}},
         {.op = "Gemm", .inputs = {Normal({3, 2}), Normal({2, 1}), Normal({})}},
         {.op = "Gemm",
          .inputs = {Normal({3, 2}), Normal({2, 4}), Normal({1})},
          .attributes = {{"broadcast", kOne}},
          .opset = 6},
         {.op = "Gemm", .inputs = {Normal({3, 2}), Normal({2, 4}), Normal({4})}, .opset = 9},
         {.op = "Gemm",
          .inputs = {Normal({3, 2}), Normal({2, 4})},
          .opset = 9,
          .error = "INVALID_ARGUMENT"},
         {.op = "Gemm",
          .inputs = {Normal({3, 2}), Normal({2, 4}), Normal({2, 3, 4})},
          .error = "SHAPE_MISMATCH"},
         {.op = "Gemm", .inputs = {Normal({3, 2}), Normal({4})}, .error = "SHAPE_MISMATCH"},
         {.op = "Gemm", .inputs = {Normal({3, 2}), Normal({3, 4})}, .error = "SHAPE_MISMATCH"});

}  // namespace
}  // namespace gradwire::testing
