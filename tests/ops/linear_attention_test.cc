#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

// Four query heads on two key heads, two tokens.
std::vector<Input> Tokens() {
  return {Elements({1, 2, 8}, {1.26, 1.47, 1.48, 1.29, 0.92, 0.43, -0.12, -0.65, -1.1, -1.39, -1.5,
                               -1.41, -1.12, -0.68, -0.15, 0.4}),
          Elements({1, 2, 4}, {0.68, 0.525, 0.295, 0.025, -0.25, -0.49, -0.66, -0.745}),
          Elements({1, 2, 2}, {0.21, -0.34, -0.84, -1.24})};
}
std::vector<Input> Gated(Input decay, Input beta) {
  std::vector<Input> inputs = Tokens();
  inputs.push_back(Elements({1, 2, 2, 1}, {0.72, 1.15, 1.42, 1.5}));
  inputs.push_back(std::move(decay));
  inputs.push_back(std::move(beta));
  return inputs;
}
Attributes Rule(const std::string& name) {
  return {{"q_num_heads", int64_t{4}},
          {"kv_num_heads", int64_t{2}},
          {"scale", 0.5},
          {"update_rule", name}};
}

OP_CASES(
    LinearAttention,
    {.op = "LinearAttention",
     .inputs = Gated(Elements({1, 2, 4}, {-0.97, -1.32, -1.49, -1.46, -1.23, -0.84, -0.33, -0.22}),
                     Elements({1, 2, 1}, {1.08, 1.38})),
     .attributes = Rule("gated_delta"),
     .outputs = 2,
     .expect = std::vector<double>{0.27737182753761924, 0.27567391355195203, 0.15459579700599685,
                                   -0.12005794494666033, -0.6104077470942526, -0.6804839489687442,
                                   -0.9838662673292083, 0.17534437403840236}},
    {.op = "LinearAttention",
     .inputs = Tokens(),
     .attributes = Rule("linear"),
     .outputs = 2,
     .expect = std::vector<double>{0.17099775, 0.17678325, -0.0479655, 0.0087805, -0.55672575,
                                   -0.63250425, -0.713338, 0.1292025}},
    {.op = "LinearAttention",
     .inputs = Gated(Normal({1, 2, 2}), Absent()),
     .attributes = Rule("gated"),
     .outputs = 2},
    {.op = "LinearAttention",
     .inputs = Gated(Absent(), Normal({1, 2, 2})),
     .attributes = Rule("delta"),
     .outputs = 2},
    {.op = "LinearAttention",
     .inputs = {Normal({2, 0, 4}), Normal({2, 0, 4}), Normal({2, 0, 2})},
     .attributes = {{"q_num_heads", int64_t{2}},
                    {"kv_num_heads", int64_t{2}},
                    {"update_rule", std::string("linear")}},
     .outputs = 2},
    {.op = "LinearAttention",
     .inputs = Tokens(),
     .attributes = Rule("gated"),
     .error = "INVALID_ARGUMENT"},
    {.op = "LinearAttention",
     .inputs = Tokens(),
     .attributes = Rule("quadratic"),
     .error = "INVALID_ARGUMENT"},
    {.op = "LinearAttention",
     .inputs = {Normal({1, 2, 8}), Normal({1, 2, 6}), Normal({1, 2, 2})},
     .attributes = Rule("linear"),
     .error = "SHAPE_MISMATCH"});

Input Signal() { return Elements({1, 2, 3}, {1.26, 1.47, 1.48, 1.29, 0.92, 0.43}); }
Input Weight() { return Elements({2, 1, 3}, {0.58, 1.04, 1.36, 1.5, 1.43, 1.17}); }

OP_CASES(CausalConvWithState,
         {.op = "CausalConvWithState",
          .inputs = {Signal(), Weight(), Elements({2}, {1.17, 1.43}),
                     Elements({1, 2, 2}, {1.21, 0.81, 0.3, -0.25})},
          .outputs = 2,
          .expect = std::vector<double>{4.4278, 4.9494, 5.4424, 3.0318, 3.9761, 5.1837}},
         {.op = "CausalConvWithState",
          .inputs = {Signal(), Weight(), Elements({2}, {1.17, 1.43}),
                     Elements({1, 2, 2}, {1.21, 0.81, 0.3, -0.25})},
          .attributes = {{"activation", std::string("silu")}},
          .outputs = 2,
          .expect = std::vector<double>{4.375552704782429, 4.914567217289645, 5.4189409656330945,
                                        2.8923076238853898, 3.902887085242807, 5.154795918698116}},
         {.op = "CausalConvWithState",  // shorter than the state
          .inputs = {Normal({2, 2, 1}), Normal({2, 1, 4})},
          .attributes = {{"activation", std::string("swish")}},
          .outputs = 2},
         {.op = "CausalConvWithState",
          .inputs = {Normal({2, 3, 2}), Normal({3, 1, 1}), Normal({3})},
          .outputs = 2},
         {.op = "CausalConvWithState",
          .inputs = {Signal(), Weight(), Absent(), Normal({1, 2, 1})},
          .error = "SHAPE_MISMATCH"},
         {.op = "CausalConvWithState",
          .inputs = {Signal(), Normal({2, 2, 3})},
          .error = "SHAPE_MISMATCH"},
         {.op = "CausalConvWithState",
          .inputs = {Signal(), Weight()},
          .attributes = {{"activation", std::string("relu")}},
          .error = "INVALID_ARGUMENT"});

}  // namespace
}  // namespace gradwire::testing
