#include <cmath>

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
     .inputs = {Normal({3, 2, 2}), Normal({1, 2, 2}), Normal({1, 2, 2})},
     .attributes = {{"activations", Strings{"Relu"}}, {"direction", std::string("reverse")}},
     .outputs = 2},
    {.op = "RNN",  // what no operator for a whole sequence covers
     .inputs = {Normal({3, 2, 2}), Normal({1, 2, 2}), Normal({1, 2, 2})},
     .attributes = {{"clip", 0.7}},
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
          .inputs = LstmBack(),
          .outputs = 3,
          .expect = Floats{0.7105556469750832, 0.7177689135444585, 0.8980653433488209,
                           0.8903669172978912}},
         {.op = "LSTM",
          .inputs = LstmBack(),
          .attributes = Going("reverse"),
          .outputs = 3,
          .expect = Floats{0.8889888328592533, 0.8977249538166976, 0.7180741243601318,
                           0.7116866130711942}},
         {.op = "LSTM",
          .inputs = {Normal({2, 3, 2}), Normal({2, 8, 2}), Normal({2, 8, 2}), Normal({2, 16}),
                     Absent(), Normal({2, 2, 2}), Normal({2, 2, 2})},
          .attributes = {{"direction", std::string("bidirectional")}, {"layout", int64_t{1}}},
          .outputs = 3},
         {.op = "LSTM",
          .inputs = {Normal({3, 2, 2}), Normal({1, 8, 2}), Normal({1, 8, 2}), Normal({1, 16}),
                     Ints({3}, {1, 2, 3}, DType::kInt32)},
          .error = "SHAPE_MISMATCH"});

std::vector<Input> Lstm(int64_t length, int64_t batch, int64_t hidden) {
  return {Normal({length, batch, 4 * hidden}), Normal({4 * hidden, hidden}),
          Normal({batch, hidden}), Normal({batch, hidden})};
}
// The gates, c and the initial c, R, and gradients of y, c and the gates.
std::vector<Input> LstmGrad(int64_t length, int64_t batch, int64_t hidden) {
  return {Uniform({length, batch, 4 * hidden}, 0, 1),
          Normal({length, batch, hidden}),
          Normal({batch, hidden}),
          Normal({4 * hidden, hidden}),
          Normal({length, batch, hidden}),
          Normal({length, batch, hidden}),
          Normal({length, batch, 4 * hidden})};
}
std::vector<Input> LstmGradOfC(int64_t length, int64_t batch, int64_t hidden) {
  std::vector<Input> inputs = LstmGrad(length, batch, hidden);
  inputs[4] = Absent();
  inputs.pop_back();
  return inputs;
}
std::vector<Input> WithNan(std::vector<Input> inputs, size_t i) {
  inputs[i].elements[0] = std::nan("");
  return inputs;
}
const Attributes kReverse = {{"reverse", int64_t{1}}};

OP_CASES(
    LstmOfSequence, {.op = "gradwire::Lstm", .inputs = Lstm(3, 2, 2), .outputs = 3},
    {.op = "gradwire::Lstm", .inputs = Lstm(3, 2, 2), .attributes = kReverse, .outputs = 3},
    // Several threads, and columns that do not fill a tile.
    {.op = "gradwire::Lstm", .inputs = Lstm(3, 19, 20), .outputs = 3},
    {.op = "gradwire::Lstm", .inputs = Lstm(2, 3, 70), .outputs = 3, .order = 1},
    {.op = "gradwire::Lstm", .inputs = Lstm(1, 1, 1), .outputs = 3},
    {.op = "gradwire::Lstm", .inputs = Lstm(0, 2, 2), .outputs = 3},
    {.op = "gradwire::Lstm", .inputs = Lstm(0, 2, 2), .attributes = kReverse, .outputs = 3},
    {.op = "gradwire::Lstm", .inputs = Lstm(2, 0, 2), .outputs = 3},
    {.op = "gradwire::Lstm", .inputs = Lstm(2, 2, 0), .outputs = 3},
    {.op = "gradwire::Lstm", .inputs = WithNan(Lstm(3, 2, 2), 0), .outputs = 3, .order = 0},
    {.op = "gradwire::Lstm", .inputs = WithNan(Lstm(3, 2, 2), 1), .outputs = 3, .order = 0},
    {.op = "gradwire::Lstm",
     .inputs = {Normal({3, 2, 8}), Normal({8, 3}), Normal({2, 2}), Normal({2, 2})},
     .error = "SHAPE_MISMATCH"},
    {.op = "gradwire::Lstm",
     .inputs = {Normal({3, 2, 8}), Normal({8, 2}), Normal({2, 2}), Normal({3, 2})},
     .error = "SHAPE_MISMATCH"},
    {.op = "gradwire::LstmGrad", .inputs = LstmGrad(3, 2, 2), .outputs = 3},
    {.op = "gradwire::LstmGrad", .inputs = LstmGrad(3, 2, 2), .attributes = kReverse, .outputs = 3},
    {.op = "gradwire::LstmGrad", .inputs = LstmGradOfC(3, 2, 2), .outputs = 3},
    {.op = "gradwire::LstmGrad", .inputs = LstmGrad(3, 19, 20), .outputs = 3},
    {.op = "gradwire::LstmGrad", .inputs = LstmGrad(2, 3, 70), .outputs = 3, .order = 1},
    {.op = "gradwire::LstmGrad", .inputs = LstmGrad(0, 2, 2), .outputs = 3},
    {.op = "gradwire::LstmGrad", .inputs = LstmGrad(2, 0, 2), .outputs = 3},
    {.op = "gradwire::LstmGrad", .inputs = LstmGrad(2, 2, 0), .outputs = 3},
    {.op = "gradwire::LstmGrad", .inputs = WithNan(LstmGrad(3, 2, 2), 4), .outputs = 3, .order = 0},
    {.op = "gradwire::LstmGrad",
     .inputs = {Normal({3, 2, 8}), Normal({3, 2, 3}), Normal({2, 2}), Normal({8, 2})},
     .error = "SHAPE_MISMATCH"},
    {.op = "gradwire::LstmGrad",
     .inputs = {Normal({3, 8}), Normal({3, 2}), Normal({2, 2}), Normal({8, 2})},
     .error = "SHAPE_MISMATCH"});

std::vector<Input> Gru(int64_t length, int64_t batch, int64_t hidden) {
  return {Normal({length, batch, 3 * hidden}), Normal({3 * hidden, hidden}),
          Normal({batch, hidden})};
}
std::vector<Input> BiasedGru(int64_t length, int64_t batch, int64_t hidden) {
  std::vector<Input> inputs = Gru(length, batch, hidden);
  inputs.push_back(Normal({hidden}));
  return inputs;
}
// [z r m g], y, the initial h, R, and gradients of y and [z r m g].
std::vector<Input> GruGrad(int64_t length, int64_t batch, int64_t hidden) {
  return {Uniform({length, batch, 4 * hidden}, 0, 1),
          Normal({length, batch, hidden}),
          Normal({batch, hidden}),
          Normal({3 * hidden, hidden}),
          Normal({length, batch, hidden}),
          Normal({length, batch, 4 * hidden})};
}
std::vector<Input> GruGradOfY(int64_t length, int64_t batch, int64_t hidden) {
  std::vector<Input> inputs = GruGrad(length, batch, hidden);
  inputs.pop_back();
  return inputs;
}
const Attributes kLinear = {{"linear_before_reset", int64_t{1}}};
const Attributes kLinearReverse = {{"linear_before_reset", int64_t{1}}, {"reverse", int64_t{1}}};

OP_CASES(
    GruOfSequence, {.op = "gradwire::Gru", .inputs = Gru(3, 2, 2), .outputs = 2},
    {.op = "gradwire::Gru", .inputs = Gru(3, 2, 2), .attributes = kLinear, .outputs = 2},
    {.op = "gradwire::Gru", .inputs = BiasedGru(3, 2, 2), .attributes = kLinear, .outputs = 2},
    {.op = "gradwire::Gru", .inputs = Gru(3, 2, 2), .attributes = kReverse, .outputs = 2},
    {.op = "gradwire::Gru", .inputs = Gru(3, 2, 2), .attributes = kLinearReverse, .outputs = 2},
    {.op = "gradwire::Gru", .inputs = Gru(3, 19, 20), .outputs = 2},
    {.op = "gradwire::Gru", .inputs = BiasedGru(3, 19, 20), .attributes = kLinear, .outputs = 2},
    {.op = "gradwire::Gru", .inputs = Gru(0, 2, 2), .outputs = 2},
    {.op = "gradwire::Gru", .inputs = Gru(0, 2, 2), .attributes = kLinear, .outputs = 2},
    {.op = "gradwire::Gru", .inputs = Gru(2, 0, 2), .outputs = 2},
    {.op = "gradwire::Gru", .inputs = BiasedGru(2, 2, 0), .attributes = kLinear, .outputs = 2},
    {.op = "gradwire::Gru", .inputs = WithNan(Gru(3, 2, 2), 0), .outputs = 2, .order = 0},
    {.op = "gradwire::Gru", .inputs = BiasedGru(3, 2, 2), .error = "INVALID_ARGUMENT"},
    {.op = "gradwire::Gru",
     .inputs = {Normal({3, 2, 6}), Normal({6, 2}), Normal({2, 3})},
     .error = "SHAPE_MISMATCH"},
    {.op = "gradwire::GruGrad", .inputs = GruGrad(3, 2, 2), .outputs = 3},
    {.op = "gradwire::GruGrad", .inputs = GruGrad(3, 2, 2), .attributes = kLinear, .outputs = 3},
    {.op = "gradwire::GruGrad", .inputs = GruGradOfY(3, 2, 2), .outputs = 3},
    {.op = "gradwire::GruGrad",
     .inputs = GruGradOfY(3, 2, 2),
     .attributes = kReverse,
     .outputs = 3},
    {.op = "gradwire::GruGrad", .inputs = GruGrad(3, 19, 20), .outputs = 3, .order = 1},
    {.op = "gradwire::GruGrad",
     .inputs = GruGrad(3, 19, 20),
     .attributes = kLinearReverse,
     .outputs = 3,
     .order = 1},
    {.op = "gradwire::GruGrad", .inputs = GruGrad(0, 2, 2), .outputs = 3},
    {.op = "gradwire::GruGrad",
     .inputs = {Normal({3, 2, 8}), Normal({3, 2, 2}), Normal({2, 2}), Normal({8, 2})},
     .error = "SHAPE_MISMATCH"});

std::vector<Input> Rnn(int64_t length, int64_t batch, int64_t hidden) {
  return {Normal({length, batch, hidden}), Uniform({hidden, hidden}, -0.3, 0.3),
          Normal({batch, hidden})};
}
std::vector<Input> RnnGrad(int64_t length, int64_t batch, int64_t hidden) {
  return {Uniform({length, batch, hidden}, -1, 1), Uniform({hidden, hidden}, -0.3, 0.3),
          Normal({length, batch, hidden})};
}
const Attributes kRelu = {{"relu", int64_t{1}}};

OP_CASES(
    RnnOfSequence, {.op = "gradwire::Rnn", .inputs = Rnn(3, 2, 2)},
    {.op = "gradwire::Rnn", .inputs = Rnn(3, 2, 2), .attributes = kReverse},
    {.op = "gradwire::Rnn", .inputs = Rnn(3, 2, 2), .attributes = kRelu},
    {.op = "gradwire::Rnn", .inputs = Rnn(3, 19, 50)},
    {.op = "gradwire::Rnn", .inputs = Rnn(0, 2, 2)},
    {.op = "gradwire::Rnn", .inputs = Rnn(2, 0, 2)},
    {.op = "gradwire::Rnn", .inputs = Rnn(2, 2, 0)},
    {.op = "gradwire::Rnn", .inputs = WithNan(Rnn(3, 2, 2), 0), .order = 0},
    {.op = "gradwire::Rnn",
     .inputs = {Normal({3, 2, 4}), Normal({4, 2}), Normal({2, 4})},
     .error = "SHAPE_MISMATCH"},
    {.op = "gradwire::RnnGrad", .inputs = RnnGrad(3, 2, 2), .outputs = 2},
    {.op = "gradwire::RnnGrad", .inputs = RnnGrad(3, 2, 2), .attributes = kReverse, .outputs = 2},
    {.op = "gradwire::RnnGrad", .inputs = RnnGrad(3, 2, 2), .attributes = kRelu, .outputs = 2},
    {.op = "gradwire::RnnGrad", .inputs = RnnGrad(3, 19, 50), .outputs = 2, .order = 1},
    {.op = "gradwire::RnnGrad", .inputs = RnnGrad(0, 2, 2), .outputs = 2},
    {.op = "gradwire::RnnGrad",
     .inputs = {Normal({3, 2, 4}), Normal({4, 4}), Normal({3, 2, 3})},
     .error = "SHAPE_MISMATCH"});

}  // namespace
}  // namespace gradwire::testing
