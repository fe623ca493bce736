// What recurrent operators over a whole sequence have in common: gradwire::Rnn, Gru and Lstm. Their
// arrays are [length, batch, ...]; states are [batch, hidden].
#ifndef GRADWIRE_OPS_TIME_STEPS_H_
#define GRADWIRE_OPS_TIME_STEPS_H_

#include <algorithm>
#include <cstdint>

#include "core/parallel.h"
#include "graph/formula.h"
#include "graph/kernel.h"

namespace gradwire {

// Steps are counted in the order in which they are computed; times are places in the arrays.
struct TimeSteps {
  int64_t length, batch, hidden;
  bool reverse;

  // `states` is [length, batch, hidden].
  TimeSteps(const Dims& states, const Attributes& attributes)
      : length(states[0]),
        batch(states[1]),
        hidden(states[2]),
        reverse(attributes.Int("reverse", 0) != 0) {}

  int64_t Time(int64_t step) const { return reverse ? length - 1 - step : step; }
  int64_t StateSize() const { return batch * hidden; }
  // The state before a step, of those after each.
  template <class T>
  const T* Before(int64_t step, const T* states, const T* initial) const {
    return step == 0 ? initial : states + Time(step - 1) * StateSize();
  }
  // Where each step multiplies the state before it by R', the gradient of R: dproducts is that of
  // the products, [length, batch, rows of R].
  Value ProductGrad(const Value& dproducts, const Value& states, const Value& initial) const;

  // Calls f(begin, end) on ranges of the batch, whose rows have nothing to do with each other: on
  // several threads where they are enough for products to be efficient. `gates`: by how many
  // matrices of hidden x hidden a step multiplies a row. f must not throw.
  template <class F>
  void ForRows(int64_t gates, F&& f) const {
    constexpr int64_t kFewestRows = 4;
    const int64_t work = length * hidden * gates * (hidden + 8);
    ParallelFor(batch, std::max(kFewestRows, (1 << 15) / std::max<int64_t>(1, work)), f);
  }
};

// The steps of one array by time, each of [batch, ...].
class Steps {
 public:
  // `sequence` may be absent: then each step is.
  explicit Steps(const Value& sequence);
  Value operator[](int64_t time) const {
    return parts_.empty() ? Value() : parts_[static_cast<size_t>(time)];
  }

 private:
  Values parts_;
};
// Their inverse.
Value Stack(Values steps, const TensorSpec& spec);
// `x` cut along its last axis into so many parts. REQUIRES: rank 2.
Values CutColumns(const Value& x, int64_t parts);
// The sum of what there is; absent when there is nothing.
inline Value Plus(const Value& a, const Value& b) { return a && b ? a + b : a ? a : b; }

// "float[2,3], none, float[3]": the call's inputs, for what an error says.
std::string SpecsOf(const OpCall& call);

// The rows of an input, or of zeros where it was left out.
template <class T>
class RowsOrZeros {
 public:
  RowsOrZeros(KernelContext& context, size_t i, int64_t width)
      : data_(context.has(i) ? context.in<T>(i) : nullptr), width_(data_ ? width : 0) {
    if (data_ != nullptr) return;
    zeros_ = context.Scratch(static_cast<size_t>(width) * sizeof(T));
    std::fill_n(static_cast<T*>(zeros_->data()), width, T{0});
    data_ = static_cast<const T*>(zeros_->data());
  }
  const T* operator[](int64_t row) const { return data_ + row * width_; }

 private:
  const T* data_;
  int64_t width_;
  BufferPtr zeros_;
};

}  // namespace gradwire

#endif  // GRADWIRE_OPS_TIME_STEPS_H_
