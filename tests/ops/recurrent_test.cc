#include "tests/ops/op_case.h"

namespace gradwire::testing {
namespace {

using Strings = std::vector<std::string>;
using Floats = std::vector<double>;

// Two steps of two sequences of size 1, and parameters for them.
Input Sequences() { return Elements({2, 2, 1}, {1.26, 1.47, 1.48, 1.29}); }
std::vector<Input> LstmBoth() {
  return {Sequences(),
          Elements({2, 4, 1}, {1.36, 1.05, 0.59, 0.05, -0.5, -0.98, -1.32, -1.49}),
          Elements({2, 4, 1}, {0.21, -0.34, -0.84, -1.24, -1.46, -1.49, -1.31, -0.96}),
          Elements({2, 8}, {0.44, 0.93, 1.29, 1.48, 1.47, 1.26, 0.87, 0.37, -0.18, -0.7, -1.14,
                            -1.41, -1.5, -1.38, -1.08, -0.63}),
          Ints({2}, {2, 1}, DType::kInt32),
          Elements({2, 2, 1}, {0.15, 0.68, 1.12, 1.4}),
          Elements({2, 2, 1}, {0.3, 0.81, 1.21, 1.45}),
          Elements({2, 3}, {0.85, 1.24, 1.46, 1.49, 1.31, 0.96})};
}
std::vector<Input> LstmBack() {
  return {Sequences(), Elements({1, 4, 1}, {1.36, 1.05, 0.59, 0.05}),
          Elements({1, 4, 1}, {0.21, -0.34, -0.84, -1.24}),
          Elements({1, 8}, {0.44, 0.93, 1.29, 1.48, 1.47, 1.26, 0.87, 0.37})};
}
std::vector<Input> Gru() {
  return {Sequences(),
          Elements({1, 6, 1}, {1.36, 1.05, 0.59, 0.05, -0.5, -0.98}),
          Elements({1, 6, 2}, {0.21, -0.34, -0.84, -1.24, -1.46, -1.49, -1.31, -0.96, -0.48, 0.07,
                               0.61, 1.06}),
          Elements({1, 12},
                   {0.44, 0.93, 1.29, 1.48, 1.47, 1.26, 0.87, 0.37, -0.18, -0.7, -1.14, -1.41}),
          Absent(),
          Elements({1, 2, 2}, {0.15, 0.68, 1.12, 1.4})};
}
std::vector<Input> Rnn() {
  return {Sequences(),
          Elements({1, 2, 1}, {1.36, 1.05}),
          Elements({1, 2, 2}, {0.21, -0.34, -0.84, -1.24}),
          Elements({1, 4}, {0.44, 0.93, 1.29, 1.48}),
          Absent(),
          Elements({1, 2, 2}, {0.15, 0.68, 1.12, 1.4})};
}
Attributes Going(const std::string& direction) { return {{"direction", direction}}; }

OP_CASES(
    Rnn,
    {.op = "RNN",
     .inputs = Rnn(),
     .attributes = {{"hidden_size", int64_t{2}}},
     .outputs = 2,
     .expect = Floats{0.9969608382934855, 0.9920804465461953, 0.9981351705338748,
                      0.8556031957347012, 0.9985515860332245, 0.9559258838850173,
                      0.9977886800728251, 0.9531495087946903}},
    {.op = "RNN",
     .inputs = Rnn(),
     .attributes = {{"activations", Strings{"Affine", "Tanh"}},
                    {"activation_alpha", Floats{0.5}},
                    {"activation_beta", Floats{0.25}},
                    {"output_sequence", int64_t{1}}},
     .opset = 1,
     .expect = Floats{1.87195, 1.6319, 1.9942, 0.88835, 2.0405317499999999, 0.43400299999999992,
                      2.0505715, 0.7439090000000002}},
    {.op = "RNN",  // each direction its own activation and parameter
     .inputs = {Normal({2, 3, 2}), Normal({2, 2, 2}), Normal({2, 2, 2})},
     .attributes = {{"direction", std::string("bidirectional")},
                    {"layout", int64_t{1}},
                    {"activations", Strings{"ScaledTanh", "elu"}},
                    {"activation_alpha", Floats{0.5, 2}}},
     .outputs = 2},
    {.op = "RNN",
     .inputs = {Normal({2, 3, 2}), Normal({1, 2, 2}), Normal({1, 2, 2})},
     .attributes = {{"activations", Strings{"Softsign"}}, {"direction", std::string("reverse")}}},
    {.op = "RNN",
     .inputs = {Normal({0, 3, 2}), Normal({1, 2, 2}), Normal({1, 2, 2})},
     .outputs = 2},
    {.op = "RNN",
     .inputs = Rnn(),
     .attributes = {{"activations", Strings{"Sine"}}},
     .error = "INVALID_ARGUMENT"},
    {.op = "RNN", .inputs = Rnn(), .attributes = Going("up"), .error = "INVALID_ARGUMENT"},
    {.op = "RNN", .inputs = Rnn(), .attributes = Going("bidirectional"), .error = "SHAPE_MISMATCH"},
    {.op = "RNN",
     .inputs = Rnn(),
     .attributes = {{"hidden_size", int64_t{3}}},
     .error = "SHAPE_MISMATCH"});

OP_CASES(Gru,
         {.op = "GRU",
          .inputs = Gru(),
          .outputs = 2,
          .expect = Floats{0.12408888974368947, 0.4508378149695921, 1.0506663860019416,
                           0.36255163465356166, 0.10302935115935397, 0.3195138776378529,
                           0.988126643126482, 0.12482464314860464}},
         {.op = "GRU",
          .inputs = Gru(),
          .attributes = {{"linear_before_reset", int64_t{1}}},
          .outputs = 2,
          .opset = 7,
          .expect = Floats{0.14621019018246087, 0.5280531242950134, 1.0907678969195378,
                           0.718463371793353, 0.13539499933337448, 0.4093504244028455,
                           1.055497721719728, 0.5027844494451887}},
         {.op = "GRU",
          .inputs = {Normal({2, 3, 2}), Normal({2, 6, 2}), Normal({2, 6, 2}), Normal({2, 12}),
                     Ints({2}, {3, 2}, DType::kInt32)},
          .attributes = {{"direction", std::string("bidirectional")},
                         {"layout", int64_t{1}},
                         {"linear_before_reset", int64_t{1}}},
          .outputs = 2},
         {.op = "GRU",
          .inputs = {Normal({2, 1, 2}), Normal({1, 3, 2}), Normal({1, 3, 1}), Normal({1, 6})},
          .attributes = {{"output_sequence", int64_t{0}}},
          .outputs = 2,
          .opset = 3},
         {.op = "GRU",
          .inputs = {Normal({2, 1, 2}), Normal({1, 3, 2}), Normal({1, 3, 1}), Normal({1, 3})},
          .error = "SHAPE_MISMATCH"});

OP_CASES(Lstm,
         {.op = "LSTM",
          .inputs = LstmBoth(),
          .attributes = Going("bidirectional"),
          .outputs = 3,
          .expect = Floats{0.8304643825146681, 0.9140240488616524, -0.0025960850556425797,
                           -0.0002539254744196858, 0.9532446617316375, 0, -0.0004018441468467589,
                           0}},
         {.op = "LSTM",
          .inputs = LstmBack(),
          .attributes = {{"direction", std::string("reverse")},
                         {"clip", 0.5},
                         {"input_forget", int64_t{1}}},
          .outputs = 3,
          .opset = 7,
          .expect = Floats{0.23450182217496177, 0.23450182217496177, 0.17426971865610508,
                           0.17426971865610508}},
         {.op = "LSTM",
          .inputs = {Normal({3, 2, 2}), Normal({2, 8, 2}), Normal({2, 8, 2}), Normal({2, 16}),
                     Absent(), Normal({3, 2, 2}), Normal({3, 2, 2}), Normal({2, 6})},
          .attributes = {{"direction", std::string("bidirectional")}, {"layout", int64_t{1}}},
          .outputs = 3},
         {.op = "LSTM",
          .inputs = {Normal({2, 0, 2}), Normal({1, 8, 2}), Normal({1, 8, 2})},
          .outputs = 3},
         {.op = "LSTM",
          .inputs = {Normal({3, 2, 2}), Normal({1, 8, 2}), Normal({1, 8, 2}), Normal({1, 16}),
                     Ints({3}, {1, 2, 3}, DType::kInt32)},
          .error = "SHAPE_MISMATCH"});

}  // namespace
}  // namespace gradwire::testing
