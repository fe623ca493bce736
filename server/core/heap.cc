#include "core/heap.h"

#include <malloc.h>

namespace gradwire {
namespace {

// Often enough for memory that nobody needs, seldom enough not to be noticed: a trim of 100 MB
// takes milliseconds.
constexpr std::chrono::seconds kPeriod(30);
constexpr size_t kKeptOnTop = 16 << 20;

}  // namespace

void TuneHeap() {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, kKeptOnTop);
}

void HeapTrimmer::Tick() {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < kPeriod) return;
  last_ = now;
  malloc_trim(kKeptOnTop);
}

}  // namespace gradwire
