// Work beside one's own.
#ifndef GRADWIRE_CORE_ASIDE_H_
#define GRADWIRE_CORE_ASIDE_H_

#include <cstddef>

#include "absl/functional/any_invocable.h"

namespace gradwire {

// Bytes to copy or to hash from which on half of them are worth being done aside: to wake a thread
// takes as long as to copy a megabyte.
inline constexpr size_t kBytesForTwo = size_t{4} << 20;

// What its owner has done by a thread that the process keeps for short work, copies above all: no
// team of threads has to be woken for it, and the threads that take in messages may use it too.
// Not thread-safe.
class Aside {
 public:
  Aside() = default;
  ~Aside() { Wait(); }
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;

  // Has the work done by that thread, or at once where it has other work or the process has one
  // CPU. The work must not throw, nor wait for work aside.
  void Start(absl::AnyInvocable<void()> work);
  // Until all that was started is done, and destroyed.
  void Wait();
};

}  // namespace gradwire

#endif  // GRADWIRE_CORE_ASIDE_H_
