#include "record.h"

namespace gradwire::bench {
namespace {

constexpr size_t kExamples = 10;

}  // namespace

void Record::Answer(const std::string& call, Clock::time_point due, Clock::time_point answered) {
  const int64_t nanoseconds = (answered - due) / std::chrono::nanoseconds(1);
  second_.Add(nanoseconds);
  if (due >= steady) calls[call].latency.Add(nanoseconds);
}

void Record::Error(const std::string& call, const std::string& reason, const std::string& text) {
  ++calls[call].errors;
  ++reasons[reason];
  ++second_errors_;
  if (examples.size() < kExamples) examples.push_back(call + ": " + reason + ": " + text);
}

void Record::Wrong(const std::string& what) {
  ++wrong;
  if (examples.size() < kExamples) examples.push_back("wrong answer: " + what);
}

Second& Record::EndSecond(double at) {
  Second& second = seconds.emplace_back();
  second.at = at;
  second.calls = second_.count();
  second.errors = second_errors_;
  second.p50 = second_.Quantile(0.5);
  second.p99 = second_.Quantile(0.99);
  second_.Clear();
  second_errors_ = 0;
  return second;
}

CallRecord Record::Total() const {
  CallRecord total;
  for (const auto& [name, call] : calls) {
    if (name == "open" || name == "close") continue;
    total.latency.Add(call.latency);
    total.errors += call.errors;
  }
  return total;
}

uint64_t Record::TotalErrors() const {
  uint64_t errors = 0;
  for (const auto& [name, call] : calls) errors += call.errors;
  return errors;
}

}  // namespace gradwire::bench
