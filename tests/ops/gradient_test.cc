#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

// What a Gradient does inside a graph is for tests/e2e/gradient_node_test.py.
OP_CASES(Gradient, {.op = "ai.onnx.preview.training::Gradient",
                    .inputs = {Normal({2})},
                    .attributes = {{"xs", std::vector<std::string>{"x"}}, {"y", std::string("y")}},
                    .error = "INVALID_ARGUMENT"});

}  // namespace
}  // namespace gradwire::testing
