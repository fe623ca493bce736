// What a run measured, for programs and for people.
#ifndef GRADWIRE_BENCH_REPORT_H_
#define GRADWIRE_BENCH_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "record.h"

namespace gradwire::bench {

struct Thresholds {
  double max_p99_ms = 0;       // of all calls; 0: none
  double min_rate = 0;         // calls a second; 0: none
  double max_error_rate = 0;   // of all calls
  double max_rss_growth = -1;  // of the server, relative to the end of the ramp; negative: none
};

// What does not hold, in words; a wrong answer never holds.
std::vector<std::string> Violations(const Record& record, const Thresholds& thresholds);

// Times in milliseconds. `settings` are the run's flags, by name.
nlohmann::json ToJson(const Record& record,
                      const std::vector<std::pair<std::string, std::string>>& settings,
                      const std::vector<std::string>& violations);

// A page that needs nothing else, with plots, of what ToJson made.
std::string ToHtml(const nlohmann::json& report);

// The table of ToJson as text.
std::string ToText(const nlohmann::json& report);

}  // namespace gradwire::bench

#endif  // GRADWIRE_BENCH_REPORT_H_
