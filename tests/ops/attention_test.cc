#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

// Two heads, two queries and three keys of size 2.
Input Queries() {
  return Elements({1, 2, 2, 2}, {1.26, 1.47, 1.48, 1.29, 0.92, 0.43, -0.12, -0.65});
}
Input Keys() {
  return Elements({1, 2, 3, 2},
                  {1.36, 1.05, 0.59, 0.05, -0.5, -0.98, -1.32, -1.49, -1.45, -1.22, -0.83, -0.32});
}
Input Contents() {
  return Elements({1, 2, 3, 2},
                  {0.21, -0.34, -0.84, -1.24, -1.46, -1.49, -1.31, -0.96, -0.48, 0.07, 0.61, 1.06});
}
// Four query heads on two key heads, packed; two positions after a past one.
std::vector<Input> Grouped(Input mask) {
  return {Elements({1, 2, 8}, {1.26, 1.47, 1.48, 1.29, 0.92, 0.43, -0.12, -0.65, -1.1, -1.39, -1.5,
                               -1.41, -1.12, -0.68, -0.15, 0.4}),
          Elements({1, 2, 4}, {1.36, 1.05, 0.59, 0.05, -0.5, -0.98, -1.32, -1.49}),
          Elements({1, 2, 2}, {0.21, -0.34, -0.84, -1.24}),
          std::move(mask),
          Elements({1, 2, 1, 2}, {0.72, 1.15, 1.42, 1.5}),
          Elements({1, 2, 1, 1}, {0.97, 1.32})};
}
Attributes Heads(int64_t mode = 0) {
  return {{"q_num_heads", int64_t{4}},
          {"kv_num_heads", int64_t{2}},
          {"softcap", 2.0},
          {"scale", 0.25},
          {"qk_matmul_output_mode", mode}};
}

OP_CASES(Attention,
         {.op = "Attention",
          .inputs = {Queries(), Keys(), Contents()},
          .attributes = {{"is_causal", int64_t{1}}},
          .expect = std::vector<double>{0.21, -0.34, 0.0502627865084379, -0.47691761156419604,
                                        -1.31, -0.96, -0.9184363104952616, -0.4740836142290595}},
         {.op = "Attention",
          .inputs = Grouped(Bools({2, 3}, {1, 1, 0, 1, 0, 1})),
          .attributes = Heads(),
          .outputs = 4,
          .expect = std::vector<double>{0.5625821970341528, 0.5561089949212569, 0.6287712789120908,
                                        0.38328093034435007, -0.370663610995695,
                                        -0.4117850661743129, -0.6627192358527904,
                                        0.1650986549980773}},
         {.op = "Attention",
          .inputs = Grouped(Bools({1, 1, 2, 2}, {1, 1, 1, 1})),  // the last key has no mask
          .attributes = Heads(3),
          .outputs = 4},
         {.op = "Attention",  // neither of the last two has
          .inputs = Grouped(Bools({2, 1}, {1, 1})),
          .attributes = Heads(),
          .expect = std::vector<double>{0.97, 0.97, 1.32, 1.32, 0.97, 0.97, 1.32, 1.32}},
         {.op = "Attention",
          .inputs = Grouped(Normal({1, 4, 2, 3})),
          .attributes = Heads(2),
          .outputs = 4},
         {.op = "Attention",
          .inputs = Grouped(Normal({4, 1, 3})),
          .attributes = Heads(1),
          .outputs = 4,
          .opset = 23},
         {.op = "Attention",  // how many keys of each sample count
          .inputs = {Normal({2, 1, 2, 3}), Normal({2, 1, 4, 3}), Normal({2, 1, 4, 2}), Absent(),
                     Absent(), Absent(), Ints({2}, {1, 3})},
          .attributes = {{"softmax_precision", int64_t{11}}}},
         {.op = "Attention",
          .inputs = {Normal({0, 2, 2, 3}), Normal({0, 2, 4, 3}), Normal({0, 2, 4, 5})}},
         {.op = "Attention",
          .inputs = {Normal({1, 3, 2, 3}), Normal({1, 2, 4, 3}), Normal({1, 2, 4, 5})},
          .error = "SHAPE_MISMATCH"},
         {.op = "Attention",
          .inputs = {Normal({1, 2, 6}), Normal({1, 2, 6}), Normal({1, 2, 6})},
          .attributes = {{"q_num_heads", int64_t{4}}, {"kv_num_heads", int64_t{2}}},
          .error = "SHAPE_MISMATCH"},
         {.op = "Attention",
          .inputs = {Queries(), Keys(), Contents(), Normal({2, 4})},
          .error = "SHAPE_MISMATCH"},
         {.op = "Attention",
          .inputs = {Queries(), Keys(), Contents(), Absent(), Normal({1, 2, 1, 2})},
          .error = "INVALID_ARGUMENT"});

OP_CASES(RotaryEmbedding,
         {.op = "RotaryEmbedding",
          .inputs = {Elements({1, 2, 6}, {1.26, 1.47, 1.48, 1.29, 0.92, 0.43, -0.12, -0.65, -1.1,
                                          -1.39, -1.5, -1.41}),
                     Elements({1, 2, 1}, {0.3, 0.81}), Elements({1, 2, 1}, {1.17, 1.43})},
          .attributes = {{"num_heads", int64_t{2}},
                         {"rotary_embedding_dim", int64_t{2}},
                         {"interleaved", int64_t{1}}},
          .expect = std::vector<double>{-1.3419, 1.9152, 1.48, -0.6894, 1.7853, 0.43, 0.8323,
                                        -0.6981, -1.1, 1.0191, -3.2027, -1.41}},
         {.op = "RotaryEmbedding",
          .inputs = {Elements({1, 1, 2, 4}, {1.26, 1.47, 1.48, 1.29, 0.92, 0.43, -0.12, -0.65}),
                     Elements({3, 2}, {0.3, 0.81, 1.21, 1.45, 1.49, 1.33}),
                     Elements({3, 2}, {1.17, 1.43, 1.5, 1.36, 1.04, 0.57}), Ints({1, 2}, {2, 0})},
          .expect = std::vector<double>{0.3382, 1.2198, 3.5156, 2.5536, 0.4164, 1.2778, 1.0404,
                                        0.0884}},
         {.op = "RotaryEmbedding",
          .inputs = {Normal({2, 3, 2, 4}), Normal({2, 2, 2}), Normal({2, 2, 2})},
          .attributes = {{"interleaved", int64_t{1}}}},
         {.op = "RotaryEmbedding",
          .inputs = {Normal({2, 3, 0, 4}), Normal({2, 0, 2}), Normal({2, 0, 2})}},
         {.op = "RotaryEmbedding",
          .inputs = {Normal({2, 3, 2, 4}), Normal({2, 2, 4}), Normal({2, 2, 4})},
          .error = "SHAPE_MISMATCH"},
         {.op = "RotaryEmbedding",
          .inputs = {Normal({2, 3, 2, 4}), Normal({2, 2, 4}), Normal({2, 2, 4})},
          .attributes = {{"rotary_embedding_dim", int64_t{3}}},
          .error = "INVALID_ARGUMENT"});

}  // namespace
}  // namespace gradwire::testing
