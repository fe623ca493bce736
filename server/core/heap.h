// What the process's heap keeps of freed memory.
#ifndef GRADWIRE_CORE_HEAP_H_
#define GRADWIRE_CORE_HEAP_H_

#include <chrono>

namespace gradwire {

// Large blocks that are freed go back to the system only when much is free: taking them anew costs
// more than the copies they are for. Small ones come from few arenas. For the start of main().
void TuneHeap();

// Gives pages that lie free between blocks in use back to the system, now and then. Sessions that
// come and go leave such pages; without this a busy server grows for minutes before it levels off.
class HeapTrimmer {
 public:
  // To be called every few seconds.
  void Tick();

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace gradwire

#endif  // GRADWIRE_CORE_HEAP_H_
