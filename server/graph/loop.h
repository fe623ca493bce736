// Inner loops of elementwise operators, as NumPy's universal functions have them: what a kernel
// runs over a whole array, and a chain of operators (exec/chain.h) tile by tile.
#ifndef GRADWIRE_GRAPH_LOOP_H_
#define GRADWIRE_GRAPH_LOOP_H_

#include <array>
#include <cstdint>

#include "core/attributes.h"
#include "core/dtype.h"

namespace gradwire {

inline constexpr size_t kMaxLoopInputs = 3;

// One run over `count` elements.
struct LoopCall {
  std::array<const void*, kMaxLoopInputs> inputs{};  // null where one was left out
  std::array<int64_t, kMaxLoopInputs> steps{};       // elements from one to the next: 0 or 1
  void* output = nullptr;  // may be an input of the same width that steps by 1
  int64_t count = 0;
  const Attributes& attributes;

  template <class T>
  const T* in(size_t i) const {
    return static_cast<const T*>(inputs[i]);
  }
  template <class T>
  T* out() const {
    return static_cast<T*>(output);
  }
};

struct Loop {
  void (*run)(const LoopCall& call) = nullptr;  // null: there is none; does not throw
  int64_t grain = 1;                            // elements worth a thread's wake-up
};

// The loop for the types of the first input and of the output.
using LoopOf = Loop (*)(DType input, DType output);

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_LOOP_H_
