#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

Input Scores() {
  return Elements({3, 4},
                  {1.76, 0.4, 0.98, 2.24, 1.87, -0.98, 0.95, -0.15, -0.1, 0.41, 0.14, 1.45});
}
Input Weights() { return Elements({4}, {0.5, 2, 1, 0.25}); }

Attributes By(const std::string& reduction) { return {{"reduction", reduction}}; }
Attributes Ignoring(int64_t index, const std::string& reduction = "mean") {
  return {{"ignore_index", index}, {"reduction", reduction}};
}

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
