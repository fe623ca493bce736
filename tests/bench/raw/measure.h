// What the client measures, one function for each kind of line that it is given. Requests and
// answers are bytes: what they mean is the caller's business.
#ifndef GRADWIRE_TESTS_BENCH_RAW_MEASURE_H_
#define GRADWIRE_TESTS_BENCH_RAW_MEASURE_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <ctime>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "memory.h"
#include "nlohmann/json.hpp"

namespace gradwire::bench {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

inline double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// CPU seconds of this process.
inline double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

inline void Check(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.error_message());
}

grpc::ByteBuffer FromHex(const std::string& hex);
std::string ToHex(const grpc::ByteBuffer& buffer);

// What outlives a measurement: connections, one for each target and number, and warm memory.
class Setting {
 public:
  std::shared_ptr<grpc::Channel> Channel(const std::string& target, int number = 0);
  void Disconnect() { channels_.clear(); }
  Region& region() { return region_; }

 private:
  std::map<std::pair<std::string, int>, std::shared_ptr<grpc::Channel>> channels_;
  Region region_;
};

// Closed loops of unary calls. In: groups, a list of {target, method, requests, in_flight}, where
// each request (hex) is a caller with a connection of its own that has `in_flight` calls under way,
// or with `share` one connection for all; and calls, how many in all, or seconds. Out: seconds,
// cpu, and for each group calls, p50, p99 in seconds, answer (the last one).
json Calls(Setting& setting, const json& in);

// A bidirectional stream. In: target, method, first (hex, sent once before, answered too), request
// (hex), count, window (how many are unanswered at most). Out: seconds, cpu, p50, p99, answer.
json Stream(Setting& setting, const json& in);

// Uploads warm memory. In: target, method, first (hex: what the first message begins with), framed
// (whether each message has its part as protobuf's field 15), bytes, chunk, unary. Out: seconds,
// cpu, answer.
json Put(Setting& setting, const json& in);

// Downloads into warm memory. In: target, method, request (hex), framed, bytes, unary. Out:
// seconds, cpu. What came is compared with what Put sends.
json Fetch(Setting& setting, const json& in);

// In: bytes. Out: seconds that std::memcpy takes between warm memory.
json Memcpy(Setting& setting, const json& in);

}  // namespace gradwire::bench

#endif  // GRADWIRE_TESTS_BENCH_RAW_MEASURE_H_
