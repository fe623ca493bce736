// What a run measured.
#ifndef GRADWIRE_BENCH_RECORD_H_
#define GRADWIRE_BENCH_RECORD_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "histogram.h"

namespace gradwire::bench {

using Clock = std::chrono::steady_clock;

// One kind of call: "SCENARIO/CALL", or "open" and "close".
struct CallRecord {
  // From the time at which the call was due to its answer: waiting for the session's earlier calls
  // counts. Of calls that came back well.
  Histogram latency;
  uint64_t errors = 0;
};

// One second.
struct Second {
  double at = 0;  // seconds from the start
  uint64_t calls = 0;
  uint64_t errors = 0;
  int64_t p50 = 0;  // nanoseconds
  int64_t p99 = 0;
  int64_t sessions = 0;      // open at its end
  int64_t in_flight = 0;     // calls at its end
  int64_t server_bytes = 0;  // resident memory of the server; 0 where it is not known
};

// Used by one thread.
class Record {
 public:
  // Counts a call that came back well. Calls that were due before `steady` are in the seconds only.
  void Answer(const std::string& call, Clock::time_point due, Clock::time_point answered);
  void Error(const std::string& call, const std::string& reason, const std::string& text);
  // An answer that differs from its reference by more than the tolerance.
  void Wrong(const std::string& what);

  // Ends a second; its other fields are the caller's.
  Second& EndSecond(double at);

  Clock::time_point steady = Clock::time_point::max();
  std::map<std::string, CallRecord> calls;
  std::map<std::string, uint64_t> reasons;
  std::vector<Second> seconds;
  // The first few errors and wrong answers, in words.
  std::vector<std::string> examples;
  // Answers that were compared with their reference; `exact` agree to the last bit.
  uint64_t verified = 0;
  uint64_t exact = 0;
  uint64_t wrong = 0;
  // Clients that died, and arrivals that were not served by the end.
  uint64_t died = 0;
  uint64_t unserved = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  // How long calls were counted in `calls`.
  double measured_seconds = 0;
  // Resident memory of the server, on average over the first and the last 30 s of that, or a
  // third where it is shorter: at any moment it depends on which arrays the clients hold just then.
  int64_t server_bytes_at_start = 0;
  int64_t server_bytes_at_end = 0;

  // Of all calls but open and close.
  CallRecord Total() const;
  uint64_t TotalErrors() const;

 private:
  Histogram second_;
  uint64_t second_errors_ = 0;
};

}  // namespace gradwire::bench

#endif  // GRADWIRE_BENCH_RECORD_H_
