// Checks of what arrays hold: what is wrong is refused before anything comes of the command.
#ifndef GRADWIRE_OPS_VALUE_CHECK_CUH_
#define GRADWIRE_OPS_VALUE_CHECK_CUH_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/cuda/launch.h"
#include "graph/kernel.h"
#include "ops/real_math.h"

namespace gradwire::cuda {

// What KernelContext::CheckLater does, at once.
inline void CheckNow(KernelContext& k, const Buffer& from, size_t bytes,
                     const Stream::ArrayCheck& check) {
  std::vector<std::byte> elements(bytes);
  k.stream().Download(from, elements.data(), bytes);
  check(elements.data());
}

// A position that failed plus one (0: there is none), and what is there.
struct Bad {
  int64_t position;
  int64_t value;
};

template <class T, class IsGood>
struct MarkBad {
  const T* values;
  IsGood is_good;
  Bad* bad;

  GRADWIRE_FN void operator()(int64_t i) const {
    if (!is_good(values[i])) bad->position = i + 1;  // of several, any
  }
};

template <class T>
struct ReadBad {
  const T* values;
  Bad* bad;

  GRADWIRE_FN void operator()(int64_t) const {
    if (bad->position != 0) bad->value = static_cast<int64_t>(values[bad->position - 1]);
  }
};

// Calls refuse(bad) with one of n integers for which is_good(value) is false, if there is one:
// later, or at once.
template <class T, class IsGood, class Refuse>
void CheckValues(KernelContext& k, const T* values, int64_t n, const IsGood& is_good, Refuse refuse,
                 bool at_once = false) {
  if (n == 0) return;
  const BufferPtr memory = k.Scratch(sizeof(Bad));
  auto* const found = static_cast<Bad*>(memory->data());
  k.stream().Zero(found, sizeof(Bad));
  ForEach(k.stream(), n, MarkBad<T, IsGood>{values, is_good, found});
  ForEach(k.stream(), 1, ReadBad<T>{values, found});
  const auto check = [refuse](const void* elements) {
    const auto& bad = *static_cast<const Bad*>(elements);
    if (bad.position != 0) refuse(bad);
  };
  if (at_once) return CheckNow(k, *memory, sizeof(Bad), check);
  k.CheckLater(*memory, sizeof(Bad), check);
}

}  // namespace gradwire::cuda

#endif  // GRADWIRE_OPS_VALUE_CHECK_CUH_
