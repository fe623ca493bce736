#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

using Numbers = std::vector<double>;

Input Six() { return Fixed(Elements({2, 3}, {-300, -1.5, .5, 1.5, 2.5, 600})); }
Input Bytes(Dims dims, std::vector<int64_t> elements) {
  return Ints(std::move(dims), std::move(elements), DType::kUint8);
}
Input Constants(Dims dims, std::vector<double> elements) {
  return Fixed(Elements(std::move(dims), std::move(elements)));
}
Input One(double x) { return Constants({}, {x}); }

// Expected values: onnx 1.22.0's reference evaluator.
OP_CASES(
    Quantize,
    {.op = "QuantizeLinear",
     .inputs = {Six(), One(1), Ints({}, {3}, DType::kInt8)},
     .opset = 10,
     .expect = Numbers{-128, 1, 3, 5, 5, 127}},
    {.op = "QuantizeLinear",
     .inputs = {Six(), Constants({3}, {.5, 1, 2}), Bytes({3}, {1, 0, 7})},
     .opset = 13,
     .expect = Numbers{0, 0, 7, 4, 2, 255}},
    {.op = "QuantizeLinear",
     .inputs = {Six(), Constants({2, 2}, {.5, 1, 2, 4}), Ints({2, 2}, {1, 0, 7, 3}, DType::kInt16)},
     .attributes = {{"axis", int64_t{-1}}, {"block_size", int64_t{2}}},
     .expect = Numbers{-599, -2, 0, 8, 8, 153}},
    {.op = "QuantizeLinear",
     .inputs = {Constants({0, 3}, {}), One(1)},
     .attributes = {{"output_dtype", int64_t{3}}},
     .expect = Numbers{}},
    {.op = "QuantizeLinear", .inputs = {Six(), Constants({2}, {1, 2})}, .error = "SHAPE_MISMATCH"},
    {.op = "QuantizeLinear", .inputs = {Six(), One(1), Ints({}, {0})}, .error = "OP_UNSUPPORTED"},
    {.op = "DequantizeLinear",
     .inputs = {Ints({2, 3}, {1, 2, 3, 4, 5, 6}, DType::kInt8), Elements({2}, {.5, 2}),
                Ints({2}, {1, -1}, DType::kInt8)},
     .attributes = {{"axis", int64_t{0}}},
     .expect = Numbers{0, .5, 1, 10, 12, 14}},
    {.op = "DequantizeLinear",
     .inputs = {Bytes({3, 2}, {1, 2, 3, 4, 5, 6}), Normal({2, 2})},
     .attributes = {{"axis", int64_t{0}}, {"block_size", int64_t{2}}}},
    {.op = "DequantizeLinear", .inputs = {Bytes({}, {7}), Elements({}, {.5})}, .opset = 10},
    {.op = "DequantizeLinear",
     .inputs = {Bytes({2}, {7, 8}), One(.5), Ints({}, {0}, DType::kInt8)},
     .error = "DTYPE_MISMATCH"},
    {.op = "DynamicQuantizeLinear",
     .inputs = {Constants({6}, {0, 2, -3, -2.25, 1.34, .5})},
     .outputs = 3,
     .expect = Numbers{153, 255, 0, 38, 221, 179}},
    {.op = "DynamicQuantizeLinear", .inputs = {Distinct({2, 3})}, .outputs = 3},
    {.op = "DynamicQuantizeLinear", .inputs = {Constants({2}, {0, 0})}, .expect = Numbers{0, 0}},
    {.op = "DynamicQuantizeLinear", .inputs = {Constants({0}, {})}, .error = "SHAPE_MISMATCH"});

OP_CASES(QuantizedProduct,
         {.op = "MatMulInteger",
          .inputs = {Bytes({2, 3}, {11, 7, 3, 10, 6, 2}), Bytes({3, 2}, {1, 4, 2, 5, 3, 6}),
                     Bytes({}, {12}), Bytes({}, {2})},
          .expect = Numbers{-8, -53, -8, -62}},
         // By hand: rows less 1 and 2, columns less 0 and 1.
         {.op = "MatMulInteger",
          .inputs = {Bytes({2, 1}, {11, 7}), Bytes({1, 2}, {2, 5}), Bytes({2}, {1, 2}),
                     Bytes({2}, {0, 1})},
          .expect = Numbers{20, 40, 10, 20}},
         {.op = "MatMulInteger",
          .inputs = {Bytes({2, 3}, {11, 7, 3, 10, 6, 2}), Bytes({2, 1}, {1, 4})},
          .error = "SHAPE_MISMATCH"},
         {.op = "ConvInteger",
          .inputs = {Bytes({1, 1, 3, 3}, {2, 3, 4, 5, 6, 7, 8, 9, 10}),
                     Bytes({1, 1, 2, 2}, {1, 2, 3, 4}), Bytes({}, {1}), Bytes({1}, {2})},
          .attributes = {{"pads", std::vector<int64_t>{1, 0, 0, 1}}},
          .expect = Numbers{5, 8, 3, 13, 15, 3, 19, 21, 3}},
         {.op = "QLinearMatMul",
          .inputs = {Bytes({2, 3}, {11, 7, 3, 10, 6, 2}), One(.5), Bytes({}, {3}),
                     Bytes({3, 2}, {1, 4, 2, 5, 3, 6}), One(.25), Bytes({}, {1}), One(.75),
                     Bytes({}, {9})},
          .expect = Numbers{10, 16, 9, 14}},
         {.op = "QLinearConv",
          .inputs = {Bytes({1, 1, 3, 3}, {2, 3, 4, 5, 6, 7, 8, 9, 10}), One(.5), Bytes({}, {3}),
                     Ints({2, 1, 2, 2}, {1, -2, 3, -4, 5, 6, 7, 8}, DType::kInt8),
                     Constants({2}, {.25, .5}), Ints({2}, {0, 0}, DType::kInt8), One(.75),
                     Bytes({}, {90}), Ints({2}, {3, -8}, DType::kInt32)},
          .expect = Numbers{89, 89, 88, 88, 98, 107, 124, 133}});

}  // namespace
}  // namespace gradwire::testing
