// What recurrent operators over a whole sequence have in common on the host: gradwire::Rnn, Gru and
// Lstm.
#ifndef GRADWIRE_OPS_TIME_STEPS_H_
#define GRADWIRE_OPS_TIME_STEPS_H_

#include <algorithm>
#include <cstdint>
#include <string>

#include "core/parallel.h"
#include "graph/formula.h"
#include "ops/recurrent_arrays.h"

namespace gradwire {

// Where each step multiplies the state before it by R', the gradient of R: dproducts is that of
// the products, [length, batch, rows of R].
Value ProductGrad(const TimeSteps& steps, const Value& dproducts, const Value& states,
                  const Value& initial);

// Calls f(begin, end) on ranges of the batch, whose rows have nothing to do with each other: on
// several threads where they are enough for products to be efficient. `gates`: by how many matrices
// of hidden x hidden a step multiplies a row. f must not throw.
template <class F>
void ForRowsOf(const TimeSteps& steps, int64_t gates, F&& f) {
  constexpr int64_t kFewestRows = 4;
  const int64_t work = steps.length * steps.hidden * gates * (steps.hidden + 8);
  ParallelFor(steps.batch, std::max(kFewestRows, (1 << 15) / std::max<int64_t>(1, work)), f);
}

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

}  // namespace gradwire

#endif  // GRADWIRE_OPS_TIME_STEPS_H_
