#include "report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace gradwire::bench {
namespace {

using nlohmann::json;

double Milliseconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e6; }

// Up to 99.999 %, evenly over the decades of what is slower.
const std::vector<double>& CurveQuantiles() {
  static const std::vector<double> quantiles = {
      0,     0.1,  0.2,   0.3,  0.4,   0.5,    0.6,   0.7,    0.75,    0.8,    0.85,   0.9,
      0.925, 0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995, 0.99975, 0.9999, 0.99999};
  return quantiles;
}

json ToJson(const CallRecord& call, double seconds) {
  const Histogram& latency = call.latency;
  json result = {{"calls", latency.count()},
                 {"errors", call.errors},
                 {"rate", static_cast<double>(latency.count()) / seconds},
                 {"mean", latency.mean() / 1e6},
                 {"p50", Milliseconds(latency.Quantile(0.5))},
                 {"p90", Milliseconds(latency.Quantile(0.9))},
                 {"p99", Milliseconds(latency.Quantile(0.99))},
                 {"p99.9", Milliseconds(latency.Quantile(0.999))},
                 {"max", Milliseconds(latency.max())}};
  for (const double quantile : CurveQuantiles()) {
    result["curve"].push_back({quantile, Milliseconds(latency.Quantile(quantile))});
  }
  return result;
}

double Growth(const Record& record) {
  if (record.server_bytes_at_start == 0) return 0;
  return static_cast<double>(record.server_bytes_at_end) /
             static_cast<double>(record.server_bytes_at_start) -
         1;
}

}  // namespace

std::vector<std::string> Violations(const Record& record, const Thresholds& thresholds) {
  std::vector<std::string> violations;
  const CallRecord total = record.Total();
  const uint64_t errors = record.TotalErrors();
  const double p99 = Milliseconds(total.latency.Quantile(0.99));
  const double rate = static_cast<double>(total.latency.count()) / record.measured_seconds;
  const double error_rate =
      static_cast<double>(errors) /
      std::max<double>(1, static_cast<double>(total.latency.count() + errors));
  if (record.wrong > 0) violations.push_back(absl::StrCat(record.wrong, " wrong answers"));
  if (total.latency.count() == 0) violations.emplace_back("no call was measured");
  if (error_rate > thresholds.max_error_rate) {
    violations.push_back(absl::StrFormat("%d errors: a rate of %.4f, at most %.4f", errors,
                                         error_rate, thresholds.max_error_rate));
  }
  if (thresholds.max_p99_ms > 0 && p99 > thresholds.max_p99_ms) {
    violations.push_back(
        absl::StrFormat("p99 is %.2f ms, at most %.2f", p99, thresholds.max_p99_ms));
  }
  if (rate < thresholds.min_rate) {
    violations.push_back(
        absl::StrFormat("%.1f calls a second, at least %.1f", rate, thresholds.min_rate));
  }
  if (thresholds.max_rss_growth >= 0 && record.server_bytes_at_start == 0) {
    violations.emplace_back("the server's memory is not known: --server_pid");
  }
  if (thresholds.max_rss_growth >= 0 && Growth(record) > thresholds.max_rss_growth) {
    violations.push_back(absl::StrFormat("the server's memory grew by %.1f %%, at most %.1f",
                                         100 * Growth(record), 100 * thresholds.max_rss_growth));
  }
  return violations;
}

json ToJson(const Record& record, const std::vector<std::pair<std::string, std::string>>& settings,
            const std::vector<std::string>& violations) {
  json report;
  report["settings"] = json::object();
  for (const auto& [name, value] : settings) report["settings"][name] = value;
  report["seconds"] = record.measured_seconds;
  report["total"] = ToJson(record.Total(), record.measured_seconds);
  report["calls"] = json::object();
  for (const auto& [name, call] : record.calls) {
    report["calls"][name] = ToJson(call, record.measured_seconds);
  }
  report["verified"] = record.verified;
  report["exact"] = record.exact;
  report["wrong"] = record.wrong;
  report["errors"] = record.reasons;
  report["died"] = record.died;
  report["unserved"] = record.unserved;
  report["bytes_sent"] = record.bytes_sent;
  report["bytes_received"] = record.bytes_received;
  report["examples"] = record.examples;
  report["server_memory"] = {{"start", record.server_bytes_at_start},
                             {"end", record.server_bytes_at_end},
                             {"growth", Growth(record)}};
  report["timeline"] = json::array();
  for (const Second& second : record.seconds) {
    report["timeline"].push_back({{"at", second.at},
                                  {"calls", second.calls},
                                  {"errors", second.errors},
                                  {"p50", Milliseconds(second.p50)},
                                  {"p99", Milliseconds(second.p99)},
                                  {"sessions", second.sessions},
                                  {"in_flight", second.in_flight},
                                  {"server_bytes", second.server_bytes}});
  }
  report["violations"] = violations;
  return report;
}

std::string ToText(const json& report) {
  std::string text = absl::StrFormat("%-28s %9s %7s %9s %9s %9s %9s %9s\n", "call (ms)", "calls",
                                     "errors", "per s", "p50", "p99", "p99.9", "max");
  const auto row = [&](const std::string& name, const json& call) {
    absl::StrAppendFormat(
        &text, "%-28s %9d %7d %9.1f %9.2f %9.2f %9.2f %9.2f\n", name, call["calls"].get<uint64_t>(),
        call["errors"].get<uint64_t>(), call["rate"].get<double>(), call["p50"].get<double>(),
        call["p99"].get<double>(), call["p99.9"].get<double>(), call["max"].get<double>());
  };
  for (const auto& [name, call] : report["calls"].items()) row(name, call);
  row("all but open and close", report["total"]);
  absl::StrAppendFormat(&text,
                        "%d answers verified, %d wrong (%d to the last bit); %d clients died",
                        report["verified"].get<uint64_t>(), report["wrong"].get<uint64_t>(),
                        report["exact"].get<uint64_t>(), report["died"].get<uint64_t>());
  if (report["unserved"] != 0) {
    absl::StrAppend(&text, "; not served by the end: ", report["unserved"].get<uint64_t>());
  }
  const json& memory = report["server_memory"];
  if (memory["start"] != 0) {
    absl::StrAppendFormat(&text,
                          "\nserver memory %.1f MB after the ramp, %.1f MB at the end (%+.1f %%)",
                          memory["start"].get<double>() / 1e6, memory["end"].get<double>() / 1e6,
                          100 * memory["growth"].get<double>());
  }
  text += "\n";
  for (const json& violation : report["violations"]) {
    absl::StrAppend(&text, "FAILED: ", violation.get<std::string>(), "\n");
  }
  for (const json& example : report["examples"]) {
    absl::StrAppend(&text, "  ", example.get<std::string>(), "\n");
  }
  return text;
}

}  // namespace gradwire::bench
