// What recurrent operators over a whole sequence compute in a step, element by element: for the
// CPU's loops and for kernels on a GPU. The formulas are those of rnn.cc, gru.cc and lstm.cc.
//
// A cell names a step's arrays from one row of the batch on, Row(b) from b rows later on. Its other
// methods compute column i of that row, of `n` columns, the hidden size; they read and write no
// other column. What they need of the products with R is where the results go.
#ifndef GRADWIRE_OPS_RECURRENT_CELLS_H_
#define GRADWIRE_OPS_RECURRENT_CELLS_H_

#include <cstdint>

#include "ops/binary_functors.h"
#include "ops/unary_functors.h"

namespace gradwire {

// Rows that lie `step` elements apart, or one that stands for all of them.
template <class T>
struct Rows {
  const T* first;
  int64_t step;

  GRADWIRE_FN Rows From(int64_t row) const { return {first + row * step, step}; }
  GRADWIRE_FN T operator[](int64_t i) const { return first[i]; }
};

// ---- RNN: one row is as good as all of them.

template <class T, class Activation>
struct RnnCell {
  const T* fed;
  T* y;  // holds h R'

  GRADWIRE_FN void operator()(int64_t i) const { y[i] = Activation()(fed[i] + y[i]); }
};

template <class T, class ActivationGrad>
struct RnnGradCell {
  const T *y, *dy, *dh_sum;
  T* dfed;

  GRADWIRE_FN void operator()(int64_t i) const {
    dfed[i] = ActivationGrad()(dh_sum[i] + dy[i], y[i]);
  }
};

// ---- GRU

template <class T>
struct GruCell {
  int64_t n;
  const T *fed, *bias, *h;
  T *saved, *y;  // saved: [z r m g]

  GRADWIRE_FN GruCell Row(int64_t b) const {
    return {n, fed + b * 3 * n, bias, h + b * n, saved + b * 4 * n, y + b * n};
  }
  // z, and r where i is n or more, of h R'.
  GRADWIRE_FN void Gate(int64_t i) const { saved[i] = fn::Sigmoid()(fed[i] + saved[i]); }
  GRADWIRE_FN void Memory(int64_t i) const { saved[2 * n + i] = saved[n + i] * h[i]; }
  // m of h R', and where g goes what is added to its argument.
  GRADWIRE_FN void LinearMemory(int64_t i) const {
    saved[2 * n + i] += bias[i];
    saved[3 * n + i] = saved[n + i] * saved[2 * n + i];
  }
  // g of what is added to its argument.
  GRADWIRE_FN void Output(int64_t i) const {
    const T g = math::Tanh(fed[2 * n + i] + saved[3 * n + i]);
    saved[3 * n + i] = g;
    y[i] = g + saved[i] * (h[i] - g);
  }
};

template <class T>
struct GruGradCell {
  int64_t n;
  const T *saved, *h;
  Rows<T> dy, dsaved;
  T *dfed, *dm, *dh_sum;

  GRADWIRE_FN GruGradCell Row(int64_t b) const {
    return {n,          saved + b * 4 * n, h + b * n, dy.From(b), dsaved.From(b), dfed + b * 3 * n,
            dm + b * n, dh_sum + b * n};
  }
  // Of y: the gradients of z and of g's argument, and what goes past both to h.
  GRADWIRE_FN void ThroughOutput(int64_t i) const {
    const T z = saved[i];
    const T g = saved[3 * n + i];
    const T dh = dh_sum[i] + dy[i];
    dfed[i] = fn::SigmoidGrad()(dh * (h[i] - g) + dsaved[i], z);
    dfed[2 * n + i] = fn::TanhGrad()(dh * (1 - z) + dsaved[3 * n + i], g);
    dh_sum[i] = dh * z;
  }
  // Of g's argument, which is linear in m: the gradients of m and of r.
  GRADWIRE_FN void ThroughReset(int64_t i) const {
    const T r = saved[n + i];
    const T dq = dfed[2 * n + i];
    dm[i] = dq * r + dsaved[2 * n + i];
    dfed[n + i] = fn::SigmoidGrad()(dq * saved[2 * n + i] + dsaved[n + i], r);
  }
  // Of m, which is r h: `dm` holds what came through the product.
  GRADWIRE_FN void ThroughMemory(int64_t i) const {
    const T r = saved[n + i];
    dm[i] += dsaved[2 * n + i];
    dfed[n + i] = fn::SigmoidGrad()(dm[i] * h[i] + dsaved[n + i], r);
    dh_sum[i] += dm[i] * r;
  }
};

// ---- LSTM

template <class T>
struct LstmCell {
  int64_t n;
  const T *fed, *c_before;
  T *gates, *c, *y;  // gates: [i o f g]

  GRADWIRE_FN LstmCell Row(int64_t b) const {
    return {n, fed + b * 4 * n, c_before + b * n, gates + b * 4 * n, c + b * n, y + b * n};
  }
  // i, o and f of h R', by where i is.
  GRADWIRE_FN void Gate(int64_t i) const { gates[i] = fn::Sigmoid()(fed[i] + gates[i]); }
  GRADWIRE_FN void Candidate(int64_t i) const {
    gates[3 * n + i] = math::Tanh(fed[3 * n + i] + gates[3 * n + i]);
  }
  GRADWIRE_FN void State(int64_t i) const {
    const T cell = gates[2 * n + i] * c_before[i] + gates[i] * gates[3 * n + i];
    c[i] = cell;
    y[i] = gates[n + i] * math::Tanh(cell);
  }
};

template <class T>
struct LstmGradCell {
  int64_t n;
  const T *gates, *c, *c_before;
  Rows<T> dy, dc, dgates;
  T *dfed, *dh_sum, *dc_sum;  // the sums: of what came so far; dc_sum becomes that of c_before

  GRADWIRE_FN LstmGradCell Row(int64_t b) const {
    return {n,          gates + b * 4 * n, c + b * n,        c_before + b * n, dy.From(b),
            dc.From(b), dgates.From(b),    dfed + b * 4 * n, dh_sum + b * n,   dc_sum + b * n};
  }
  GRADWIRE_FN void Run(int64_t i) const {
    const T in = gates[i];
    const T out = gates[n + i];
    const T forget = gates[2 * n + i];
    const T g = gates[3 * n + i];
    const T tanh_c = math::Tanh(c[i]);
    const T dh = dh_sum[i] + dy[i];
    const T dcell = fn::TanhGrad()(dh * out, tanh_c) + dc_sum[i] + dc[i];
    dfed[i] = fn::SigmoidGrad()(dcell * g + dgates[i], in);
    dfed[n + i] = fn::SigmoidGrad()(dh * tanh_c + dgates[n + i], out);
    dfed[2 * n + i] = fn::SigmoidGrad()(dcell * c_before[i] + dgates[2 * n + i], forget);
    dfed[3 * n + i] = fn::TanhGrad()(dcell * in + dgates[3 * n + i], g);
    dc_sum[i] = dcell * forget;
  }
};

}  // namespace gradwire

#endif  // GRADWIRE_OPS_RECURRENT_CELLS_H_
