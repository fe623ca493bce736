#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

Input Scores() {
  return Elements({3, 4},
                  {1.76, 0.4, 0.98, 2.24, 1.87, -0.98, 0.95, -0.15, -0.1, 0.41, 0.14, 1.45});
}
Input Deep() {
  return Elements({2, 3, 2},
                  {0.76, 0.12, 0.44, 0.33, 1.49, -0.21, 0.31, -0.85, -2.55, 0.65, 0.86, -0.74});
}
Input Weights() { return Elements({4}, {0.5, 2, 1, 0.25}); }

Attributes By(const std::string& reduction) { return {{"reduction", reduction}}; }
Attributes Ignoring(int64_t index, const std::string& reduction = "mean") {
  return {{"ignore_index", index}, {"reduction", reduction}};
}

OP_CASES(SoftmaxCrossEntropyLoss,
         {.op = "SoftmaxCrossEntropyLoss",
          .inputs = {Scores(), Ints({3}, {1, 3, 0})},
          .outputs = 2,
          .expect = std::vector<double>{2.401253659557361}},
         {.op = "SoftmaxCrossEntropyLoss",
          .inputs = {Scores(), Ints({3}, {1, 3, 0}), Weights()},
          .attributes = Ignoring(3),
          .expect = std::vector<double>{2.482117815637822}},
         {.op = "SoftmaxCrossEntropyLoss",
          .inputs = {Deep(), Ints({2, 2}, {0, 2, 1, -5}, DType::kInt32)},
          .attributes = Ignoring(-5, "none"),
          .expect = std::vector<double>{1.3353246051112626, 1.412686745510699, 3.88622859559965,
                                        0}},
         {.op = "SoftmaxCrossEntropyLoss",
          .inputs = {Deep(), Ints({2, 2}, {0, 2, 1, -5})},
          .attributes = Ignoring(-5, "sum"),
          .outputs = 2,
          .opset = 12,
          .expect = std::vector<double>{6.634239946221612}},
         {.op = "SoftmaxCrossEntropyLoss",  // the exponentials alone would overflow
          .inputs = {Elements({1, 2}, {1000, -1000}), Ints({1}, {1})},
          .expect = std::vector<double>{2000},
          .order = 1},
         {.op = "SoftmaxCrossEntropyLoss",
          .inputs = {Normal({2, 3, 2, 1, 2}), Ints({2, 2, 1, 2}, {0, 1, 2, 0, 1, 2, 0, 1})}},
         {.op = "SoftmaxCrossEntropyLoss",
          .inputs = {Normal({2, 3}), Ints({2}, {0, 3})},
          .error = "INVALID_ARGUMENT"},
         {.op = "SoftmaxCrossEntropyLoss",
          .inputs = {Normal({2, 3}), Ints({2}, {0, -1})},
          .error = "INVALID_ARGUMENT"},
         {.op = "SoftmaxCrossEntropyLoss",
          .inputs = {Normal({2, 3}), Ints({3}, {0, 1, 2})},
          .error = "SHAPE_MISMATCH"},
         {.op = "SoftmaxCrossEntropyLoss",
          .inputs = {Normal({2, 3}), Ints({2}, {0, 1}), Normal({2})},
          .error = "SHAPE_MISMATCH"},
         {.op = "SoftmaxCrossEntropyLoss",
          .inputs = {Normal({2, 3}), Ints({2}, {0, 1})},
          .attributes = By("max"),
          .error = "INVALID_ARGUMENT"});

OP_CASES(Labels, {.op = "gradwire::Labels",
                  .inputs = {Ints({4}, {2, 9, 0, 1})},
                  .attributes = {{"classes", int64_t{3}}, {"ignore_index", int64_t{9}}},
                  .outputs = 2,
                  .expect = std::vector<double>{2, 0, 0, 1},
                  .order = 0});

OP_CASES(NegativeLogLikelihoodLoss,
         {.op = "NegativeLogLikelihoodLoss",
          .inputs = {Scores(), Ints({3}, {1, 3, 0}), Weights()},
          .attributes = By("none"),
          .expect = std::vector<double>{-0.8, 0.0375, 0.05}},
         {.op = "NegativeLogLikelihoodLoss",
          .inputs = {Scores(), Ints({3}, {1, 7, 0})},
          .attributes = Ignoring(7),
          .expect = std::vector<double>{-0.15}},
         {.op = "NegativeLogLikelihoodLoss",
          .inputs = {Normal({2, 3, 4}), Ints({2, 4}, {0, 1, 2, 0, 1, 2, 0, 1}), Normal({3})},
          .opset = 12});

}  // namespace
}  // namespace gradwire::testing
