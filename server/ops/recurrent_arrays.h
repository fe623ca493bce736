// The arrays of recurrent operators over a whole sequence, for kernels on any device.
#ifndef GRADWIRE_OPS_RECURRENT_ARRAYS_H_
#define GRADWIRE_OPS_RECURRENT_ARRAYS_H_

#include <cstdint>

#include "graph/kernel.h"
#include "ops/recurrent_cells.h"

namespace gradwire {

// Arrays are [length, batch, ...]; states are [batch, hidden]. Steps are counted in the order in
// which they are computed; times are places in the arrays.
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
};

// The rows of an input, or of zeros where it was left out.
template <class T>
class RowsOrZeros {
 public:
  RowsOrZeros(KernelContext& context, size_t i, int64_t width)
      : rows_{context.has(i) ? context.in<T>(i) : nullptr, width} {
    if (rows_.first != nullptr) return;
    const size_t bytes = static_cast<size_t>(width) * sizeof(T);
    zeros_ = context.Scratch(bytes);
    context.stream().Zero(zeros_->data(), bytes);
    rows_ = {static_cast<const T*>(zeros_->data()), 0};
  }
  Rows<T> From(int64_t row) const { return rows_.From(row); }

 private:
  Rows<T> rows_;
  BufferPtr zeros_;
};

}  // namespace gradwire

#endif  // GRADWIRE_OPS_RECURRENT_ARRAYS_H_
