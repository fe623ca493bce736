#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

OP_CASES(ArrayFeatureExtractor,
         {.op = "ai.onnx.ml::ArrayFeatureExtractor",
          .inputs = {Normal({2, 3}), Ints({2, 2}, {0, 2, 2, 1})}},
         {.op = "ai.onnx.ml::ArrayFeatureExtractor",
          .inputs = {Elements({3}, {1, 2, 3}), Ints({2}, {2, 0})},
          .expect = std::vector<double>{3, 1}},
         {.op = "ai.onnx.ml::ArrayFeatureExtractor",
          .inputs = {Normal({3}), Ints({1}, {3})},
          .error = "INVALID_ARGUMENT"});

OP_CASES(Binarizer, {.op = "ai.onnx.ml::Binarizer",
                     .inputs = {Fixed(Elements({4}, {-1, 0.5, 0.6, 2}))},
                     .attributes = {{"threshold", 0.5}},
                     .expect = std::vector<double>{0, 0, 1, 1}});

}  // namespace
}  // namespace gradwire::testing
