// How long operators' kernels have run, for the server's metrics.
#ifndef GRADWIRE_EXEC_OP_TIMES_H_
#define GRADWIRE_EXEC_OP_TIMES_H_

#include <chrono>
#include <cstdint>
#include <mutex>

#include "absl/container/flat_hash_map.h"
#include "graph/op.h"

namespace gradwire {

struct OpTime {
  int64_t runs = 0;
  std::chrono::steady_clock::duration time{0};
};

// Since the process began. Operators belong to the process, as their registry does. Thread-safe.
class OpTimes {
 public:
  using Map = absl::flat_hash_map<const OpDef*, OpTime>;

  static OpTimes& Global();
  void Add(const Map& times);
  Map Read() const;

 private:
  mutable std::mutex mutex_;
  Map times_;  // guarded
};

// Measures the operators of one evaluation and adds them up at its end, which costs less than to
// share each.
class OpClock {
 public:
  OpClock() = default;
  ~OpClock() { OpTimes::Global().Add(times_); }
  OpClock(const OpClock&) = delete;
  OpClock& operator=(const OpClock&) = delete;

  // Calls `run`, which runs `op`.
  template <class Run>
  void Measure(const OpDef& op, const Run& run) {
    const auto began = std::chrono::steady_clock::now();
    run();
    OpTime& entry = times_[&op];
    entry.time += std::chrono::steady_clock::now() - began;
    ++entry.runs;
  }

 private:
  OpTimes::Map times_;
};

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_OP_TIMES_H_
