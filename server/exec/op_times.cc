#include "exec/op_times.h"

namespace gradwire {

OpTimes& OpTimes::Global() {
  static OpTimes times;
  return times;
}

void OpTimes::Add(const Map& times) {
  const std::lock_guard lock(mutex_);
  for (const auto& [op, more] : times) {
    OpTime& entry = times_[op];
    entry.runs += more.runs;
    entry.time += more.time;
  }
}

OpTimes::Map OpTimes::Read() const {
  const std::lock_guard lock(mutex_);
  return times_;
}

}  // namespace gradwire
