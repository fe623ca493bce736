// RNN, GRU and LSTM: what the attributes make of them is mostly gradwire::Rnn, Gru or Lstm; the
// rest is traced step by step. Within a direction arrays are time-major.
#include <fmt/format.h>

#include <span>

#include "graph/formula.h"
#include "ops/activations.h"

namespace gradwire {
namespace {

// ---- What the three have in common

// One direction's parameters.
struct Cell {
  Value r;                  // [gates * hidden, hidden], of GRU without the candidate's rows
  Value r_candidate;        // [hidden, hidden]; GRU's
  Value bias;               // [gates * hidden], added to what comes from the input; or absent
  Value bias_before_reset;  // [hidden], of GRU's candidate: what the reset gate applies to as well
  Values peepholes;         // i, o, f: [hidden]; empty without any
  std::span<const Activation> activations;
  double clip = 0;  // 0: no clipping
  bool coupled = false;
  bool linear_before_reset = false;

  // Activation k of x.
  Value Act(size_t k, const Value& x) const {
    if (clip <= 0) return activations[k](x);
    return activations[k](Call("Clip", {x, Scalar(-clip, x.dtype()), Scalar(clip, x.dtype())}));
  }
};

struct State {
  Value h, c;  // [batch, hidden]; only LSTM has c
};

// The next state. `fed` is what comes from the input: [batch, gates * hidden].
using Step = State (*)(const Cell& cell, const Value& fed, const State& state);

struct Kind {
  Step step;
  int64_t gates;
  std::vector<std::string> activations;  // the defaults, for one direction
  bool has_cell = false;                 // LSTM: inputs initial_c and P, output Y_c
};

Values Split(const Value& x, int axis, std::vector<int64_t> lengths) {
  if (lengths.size() == 1) return {x};
  const auto parts = static_cast<int>(lengths.size());
  return ApplyAll("gradwire::Split", {x}, {{"axis", int64_t{axis}}, {"split", std::move(lengths)}},
                  parts);
}

// REQUIRES: parts > 0.
Values SplitEqually(const Value& x, int axis, int64_t parts) {
  const int64_t length = x.dims()[static_cast<size_t>(axis)] / parts;
  return Split(x, axis, std::vector<int64_t>(static_cast<size_t>(parts), length));
}

// ---- The cells

Value TimesTransposed(const Value& a, const Value& b) {
  return MatMul(a, b, /*transpose_a=*/false, /*transpose_b=*/true);
}

State RnnStep(const Cell& cell, const Value& fed, const State& state) {
  return {cell.Act(0, fed + TimesTransposed(state.h, cell.r)), {}};
}

// Gates: update, reset; then the candidate.
State GruStep(const Cell& cell, const Value& fed, const State& state) {
  const int64_t hidden = state.h.dims()[1];
  const Values in = Split(fed, 1, {2 * hidden, hidden});
  const Values gates = SplitEqually(cell.Act(0, in[0] + TimesTransposed(state.h, cell.r)), 1, 2);
  const Value& update = gates[0];
  const Value& reset = gates[1];
  Value memory =
      TimesTransposed(cell.linear_before_reset ? state.h : reset * state.h, cell.r_candidate);
  if (cell.bias_before_reset) memory = memory + cell.bias_before_reset;
  if (cell.linear_before_reset) memory = reset * memory;
  const Value candidate = cell.Act(1, in[1] + memory);
  return {candidate + update * (state.h - candidate), {}};
}

// Gates: input, output, forget; then the candidate.
State LstmStep(const Cell& cell, const Value& fed, const State& state) {
  const Values gates = SplitEqually(fed + TimesTransposed(state.h, cell.r), 1, 4);
  const auto peep = [&](size_t gate, const Value& c) {
    return cell.peepholes.empty() ? gates[gate] : gates[gate] + cell.peepholes[gate] * c;
  };
  const Value input = cell.Act(0, peep(0, state.c));
  const Value forget = cell.coupled ? 1.0 - input : cell.Act(0, peep(2, state.c));
  const Value c = forget * state.c + input * cell.Act(1, gates[3]);
  const Value output = cell.Act(0, peep(1, c));
  return {output * cell.Act(2, c), c};
}

// ---- Directions

class Recurrence {
 public:
  Recurrence(const OpCall& call, const Kind& kind);

  // Y, Y_h and, of an LSTM, Y_c.
  Values Run();

 private:
  void CheckShapes() const;
  void CheckInput(size_t i, const Dims& expected) const;
  // Input i of direction d without the axis of directions; absent when it was left out.
  Value Part(size_t i, int64_t d) const;
  Value Initial(size_t i, int64_t d) const;
  void SetBias(Cell& cell, const Value& bias) const;
  Cell MakeCell(int64_t d) const;
  // What the input adds to the gates of every step: [length, batch, gates * hidden].
  Value Fed(int64_t d, const Cell& cell) const;
  // Runs direction d; returns its outputs of all steps, [length, batch, hidden].
  Value RunDirection(int64_t d, State& state) const;
  // The outputs of one operator for all steps, the first as RunDirection; of LSTM the cells are the
  // second. None where no operator has the cell's meaning.
  Values RunWhole(int64_t d, const Cell& cell, bool backwards, const State& state) const;

  const OpCall& call_;
  const Kind& kind_;
  bool batch_first_;
  std::string direction_;
  int64_t directions_;
  Value x_;  // [length, batch, features]
  int64_t length_, batch_, hidden_;
  std::vector<Activation> activations_;
};

Recurrence::Recurrence(const OpCall& call, const Kind& kind)
    : call_(call),
      kind_(kind),
      batch_first_(call.attributes().Int("layout", 0) != 0),
      direction_(call.attributes().String("direction", "forward")),
      directions_(direction_ == "bidirectional" ? 2 : 1),
      x_(call.input(0)) {
  for (const size_t i : {0, 1, 2}) {
    if (call.rank(i) == 3) continue;
    throw Error(reason::kShapeMismatch,
                fmt::format("input {} is {}, rank 3 is expected", i, ToString(call.spec(i))));
  }
  if (direction_ != "forward" && direction_ != "reverse" && directions_ == 1) {
    throw Error(
        reason::kInvalidArgument,
        fmt::format("direction '{}' is not one of forward, reverse, bidirectional", direction_));
  }
  if (batch_first_) x_ = Transpose(x_, {1, 0, 2});
  length_ = x_.dims()[0];
  batch_ = x_.dims()[1];
  hidden_ = call.dims(2)[2];
  CheckShapes();
  activations_ = Activations(call, kind.activations, static_cast<size_t>(directions_));
}

void Recurrence::CheckInput(size_t i, const Dims& expected) const {
  if (!call_.has(i) || call_.dims(i) == expected) return;
  throw Error(reason::kShapeMismatch,
              fmt::format("X is {}, R is {}, input {} is {}: expected {}", ToString(call_.spec(0)),
                          ToString(call_.spec(2)), i, ToString(call_.spec(i)), ToString(expected)));
}

void Recurrence::CheckShapes() const {
  if (call_.attributes().Int("hidden_size", hidden_) != hidden_) {
    throw Error(reason::kShapeMismatch,
                fmt::format("hidden_size is {}, R is {}", call_.attributes().Int("hidden_size"),
                            ToString(call_.spec(2))));
  }
  const int64_t rows = kind_.gates * hidden_;
  const Dims state =
      batch_first_ ? Dims{batch_, directions_, hidden_} : Dims{directions_, batch_, hidden_};
  CheckInput(1, {directions_, rows, x_.dims()[2]});
  CheckInput(2, {directions_, rows, hidden_});
  CheckInput(3, {directions_, 2 * rows});
  CheckInput(4, {batch_});
  CheckInput(5, state);
  if (!kind_.has_cell) return;
  CheckInput(6, state);
  CheckInput(7, {directions_, 3 * hidden_});
}

Value Recurrence::Part(size_t i, int64_t d) const {
  if (!call_.has(i)) return {};
  const Value x = call_.input(i);
  Dims dims = x.dims();
  dims.erase(dims.begin());
  return Reshape(directions_ == 1 ? x : Slice(x, {d}, {d + 1}, {0}, {1}), dims);
}

Value Recurrence::Initial(size_t i, int64_t d) const {
  if (!call_.has(i)) return Full({batch_, hidden_}, 0, x_.dtype());
  if (!batch_first_) return Part(i, d);
  return Reshape(Slice(call_.input(i), {d}, {d + 1}, {1}, {1}), {batch_, hidden_});
}

// `bias` holds that of the input, then that of the recurrence.
void Recurrence::SetBias(Cell& cell, const Value& bias) const {
  const Values halves = SplitEqually(bias, 0, 2);
  Value recurrent = halves[1];
  if (cell.linear_before_reset) {
    const Values parts = Split(recurrent, 0, {2 * hidden_, hidden_});
    recurrent = Concat({parts[0], Full({hidden_}, 0, bias.dtype())}, 0);
    cell.bias_before_reset = parts[1];
  }
  cell.bias = halves[0] + recurrent;
}

Cell Recurrence::MakeCell(int64_t d) const {
  Cell cell{.r = Part(2, d)};
  const size_t count = kind_.activations.size();
  cell.activations = std::span(activations_).subspan(static_cast<size_t>(d) * count, count);
  cell.clip = call_.attributes().Float("clip", 0);
  cell.coupled = call_.attributes().Int("input_forget", 0) != 0;
  cell.linear_before_reset = call_.attributes().Int("linear_before_reset", 0) != 0;
  if (kind_.step == GruStep) {
    const Values rows = Split(cell.r, 0, {2 * hidden_, hidden_});
    cell.r = rows[0];
    cell.r_candidate = rows[1];
  }
  if (call_.has(3)) SetBias(cell, Part(3, d));
  if (kind_.has_cell && call_.has(7)) cell.peepholes = SplitEqually(Part(7, d), 0, 3);
  return cell;
}

Value Recurrence::Fed(int64_t d, const Cell& cell) const {
  const int64_t features = x_.dims()[2];
  const Value rows = Reshape(x_, {length_ * batch_, features});
  const Value fed =
      Call("gradwire::MatMul", {rows, Part(1, d), cell.bias}, {{"trans_b", int64_t{1}}});
  return Reshape(fed, {length_, batch_, kind_.gates * hidden_});
}

Value Recurrence::RunDirection(int64_t d, State& state) const {
  const Cell cell = MakeCell(d);
  const bool backwards = direction_ == "reverse" || d == 1;
  if (const Values whole = RunWhole(d, cell, backwards, state); !whole.empty()) {
    const int64_t last = backwards ? 0 : length_ - 1;
    const auto at_last = [&](const Value& steps) {
      return Reshape(Slice(steps, {last}, {last + 1}, {0}, {1}), {batch_, hidden_});
    };
    state = {at_last(whole[0]), kind_.has_cell ? at_last(whole[1]) : Value()};
    return whole[0];
  }
  const Values steps = SplitEqually(Fed(d, cell), 0, length_);
  const Value lengths = call_.has(4) ? Reshape(call_.input(4), {batch_, 1}) : Value();
  const Value zero = Scalar(0, x_.dtype());
  Values outputs(static_cast<size_t>(length_));
  for (int64_t i = 0; i < length_; ++i) {
    const auto t = static_cast<size_t>(backwards ? length_ - 1 - i : i);
    State next = kind_.step(cell, Reshape(steps[t], {batch_, kind_.gates * hidden_}), state);
    outputs[t] = next.h;
    if (lengths) {  // beyond its end a sequence keeps its state and puts out zeros
      const Value runs = Greater(lengths, static_cast<double>(t));
      outputs[t] = Where(runs, next.h, zero);
      next.h = Where(runs, next.h, state.h);
      if (next.c) next.c = Where(runs, next.c, state.c);
    }
    outputs[t] = Reshape(outputs[t], {1, batch_, hidden_});
    state = std::move(next);
  }
  return Concat(outputs, 0);
}

Values Recurrence::RunWhole(int64_t d, const Cell& cell, bool backwards, const State& state) const {
  if (call_.has(4) || cell.clip > 0 || !cell.peepholes.empty() || cell.coupled) return {};
  std::string names;
  for (const Activation& activation : cell.activations) names += activation.name + " ";
  const bool relu = kind_.step == RnnStep && names == "relu ";
  Attributes attributes{{"reverse", int64_t{backwards}}};
  if (kind_.step == RnnStep && (relu || names == "tanh ")) {
    attributes.Set("relu", int64_t{relu});
    return ApplyAll("gradwire::Rnn", {Fed(d, cell), cell.r, state.h}, attributes, 1);
  }
  if (kind_.step == GruStep && names == "sigmoid tanh ") {
    attributes.Set("linear_before_reset", int64_t{cell.linear_before_reset});
    return ApplyAll("gradwire::Gru", {Fed(d, cell), Part(2, d), state.h, cell.bias_before_reset},
                    attributes, 2);
  }
  if (kind_.step == LstmStep && names == "sigmoid tanh tanh ") {
    return ApplyAll("gradwire::Lstm", {Fed(d, cell), cell.r, state.h, state.c}, attributes, 3);
  }
  return {};
}

Values Recurrence::Run() {
  Values y, last_h, last_c;
  for (int64_t d = 0; d < directions_; ++d) {
    State state{Initial(5, d), kind_.has_cell ? Initial(6, d) : Value()};
    const Value all =
        length_ > 0 ? RunDirection(d, state) : Full({0, batch_, hidden_}, 0, x_.dtype());
    y.push_back(Unsqueeze(all, {batch_first_ ? 2 : 1}));
    const int axis = batch_first_ ? 1 : 0;
    last_h.push_back(Unsqueeze(state.h, {axis}));
    if (state.c) last_c.push_back(Unsqueeze(state.c, {axis}));
  }
  Value whole = Concat(y, batch_first_ ? 2 : 1);
  if (batch_first_) whole = Transpose(whole, {1, 0, 2, 3});
  const int axis = batch_first_ ? 1 : 0;
  Values outputs{whole, Concat(last_h, axis)};
  if (kind_.has_cell) outputs.push_back(Concat(last_c, axis));
  return outputs;
}

// ---- The operators

const Kind kRnn{RnnStep, 1, {"tanh"}};
const Kind kGru{GruStep, 3, {"sigmoid", "tanh"}};
const Kind kLstm{LstmStep, 4, {"sigmoid", "tanh", "tanh"}, /*has_cell=*/true};

Values DecomposeRnn(const OpCall& call) { return Recurrence(call, kRnn).Run(); }
Values DecomposeGru(const OpCall& call) { return Recurrence(call, kGru).Run(); }
Values DecomposeLstm(const OpCall& call) { return Recurrence(call, kLstm).Run(); }

OpDef Row(std::string_view name, int since, Decompose decompose,
          std::vector<std::string_view> more) {
  const bool is_lstm = decompose == DecomposeLstm;
  OpDef row{.name = name,
            .since = since,
            .inputs = {3, is_lstm ? 8 : 6},
            .outputs = {1, is_lstm ? 3 : 2},
            .attributes = {"activation_alpha", "activation_beta", "activations", "clip",
                           "direction", "hidden_size"},
            .decompose = decompose};
  row.attributes.insert(row.attributes.end(), more.begin(), more.end());
  return row;
}

// `output_sequence` said that Y is wanted, which the number of outputs says as well.
GRADWIRE_OP(Row("RNN", 1, DecomposeRnn, {"output_sequence"}));
GRADWIRE_OP(Row("RNN", 7, DecomposeRnn, {}));
GRADWIRE_OP(Row("RNN", 14, DecomposeRnn, {"layout"}));
GRADWIRE_OP(Row("GRU", 1, DecomposeGru, {"output_sequence"}));
GRADWIRE_OP(Row("GRU", 3, DecomposeGru, {"linear_before_reset", "output_sequence"}));
GRADWIRE_OP(Row("GRU", 7, DecomposeGru, {"linear_before_reset"}));
GRADWIRE_OP(Row("GRU", 14, DecomposeGru, {"layout", "linear_before_reset"}));
GRADWIRE_OP(Row("LSTM", 1, DecomposeLstm, {"input_forget", "output_sequence"}));
GRADWIRE_OP(Row("LSTM", 7, DecomposeLstm, {"input_forget"}));
GRADWIRE_OP(Row("LSTM", 14, DecomposeLstm, {"input_forget", "layout"}));

}  // namespace
}  // namespace gradwire
