// How long operators' kernels have run, for the server's metrics.
#ifndef GRADWIRE_EXEC_OP_TIMES_H_
#define GRADWIRE_EXEC_OP_TIMES_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <span>
#include <utility>

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

  // Since the call before, `op` ran, or went on with one of its `runs`: 0.
  void Ran(const OpDef& op, int runs = 1) { Add(op, runs, Lap()); }
  // A chain of such operators, each so many times: the links share its time evenly.
  void Ran(std::span<const std::pair<const OpDef*, int>> ops, int runs = 1) {
    const auto time = Lap();
    int links = 0;
    for (const auto& [op, count] : ops) links += count;
    for (const auto& [op, count] : ops) Add(*op, count * runs, time * count / links);
  }

 private:
  std::chrono::steady_clock::duration Lap() {
    const auto now = std::chrono::steady_clock::now();
    return now - std::exchange(last_, now);
  }

  void Add(const OpDef& op, int runs, std::chrono::steady_clock::duration time) {
    OpTime& entry = times_[&op];
    entry.runs += runs;
    entry.time += time;
  }

  OpTimes::Map times_;
  // When the operator before ended: reading the clock costs as much as a tiny operator.
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_OP_TIMES_H_
