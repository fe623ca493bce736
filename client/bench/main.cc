// gradwire-bench: load on a server, measured.

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "engine.h"
#include "report.h"

ABSL_FLAG(std::string, target, "127.0.0.1:50051", "The server, HOST:PORT.");
ABSL_FLAG(std::string, scenario, "client/bench/scenarios/mixed.txt",
          "What users do; client/bench/scenario.h says how such a file is written.");
ABSL_FLAG(int, sessions, 100, "Sessions open at a time, up to 10000.");
ABSL_FLAG(int, connections, 4, "Connections that they share.");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(30), "How long to measure, after the ramp.");
ABSL_FLAG(absl::Duration, ramp, absl::Seconds(5),
          "Sessions open, and the rate grows, evenly over this time.");
ABSL_FLAG(double, rate, 0,
          "Calls a second over all sessions, at scheduled times (open loop): a latency counts from "
          "the time at which the call was due. 0: each session calls, thinks, and calls again.");
ABSL_FLAG(bool, poisson, true, "Exponential times between scheduled calls; else equal ones.");
ABSL_FLAG(
    double, die, 0,
    "How likely it is that a client dies within 2 ms of beginning a call: it gives the call up and "
    "leaves its session behind, and another client comes.");
ABSL_FLAG(absl::Duration, lease, absl::Seconds(30), "Lease of the sessions.");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(30), "How long a call may take.");
ABSL_FLAG(int, variants, 4,
          "Different data that users put; each has reference answers of its own.");
ABSL_FLAG(double, tolerance, 1e-4,
          "How far an answer may be from its reference, relative to its largest element.");
ABSL_FLAG(uint64_t, seed, 1, "Of all that is random here.");
ABSL_FLAG(int, server_pid, 0, "The server's process on this machine, to sample its memory.");
ABSL_FLAG(std::string, token_file, "", "File that holds the bearer token of all calls.");
ABSL_FLAG(bool, tls, false, "Speak TLS; any of the --tls_... flags says so too.");
ABSL_FLAG(std::string, tls_ca, "",
          "PEM file of the authorities that the server's certificate must come from; empty: those "
          "of the system.");
ABSL_FLAG(std::string, tls_cert, "", "PEM file of the users' certificate (mutual TLS).");
ABSL_FLAG(std::string, tls_key, "", "PEM file of its key.");
ABSL_FLAG(std::string, tls_server_name, "",
          "Name in the server's certificate; empty: the host of --target.");
ABSL_FLAG(std::string, json, "", "Where the report goes as JSON.");
ABSL_FLAG(std::string, html, "", "Where the report goes as a page with plots.");
ABSL_FLAG(bool, progress, true, "One line a second on stderr.");
ABSL_FLAG(absl::Duration, max_p99, absl::ZeroDuration(), "Threshold; 0: none.");
ABSL_FLAG(double, min_rate, 0, "Threshold, in calls a second; 0: none.");
ABSL_FLAG(double, max_error_rate, 0, "Threshold, from 0 to 1.");
ABSL_FLAG(
    double, max_rss_growth, -1,
    "Threshold of how far the server's memory grows, from the 30 s after the ramp to the last 30 s "
    "(of a short run, from its first third to its last), 0.1 is 10 %; negative: none.");

namespace gradwire::bench {
namespace {

constexpr int kThresholds = 1;
constexpr int kUsage = 2;
constexpr int kCannotRun = 3;
constexpr int kMaxSessions = 10000;

constexpr const char* kAbout =
    "Simulated users against a gradwire server: gradwire-bench [--flags]. Exit status: 0 when all "
    "thresholds hold and no answer is wrong, 1 when not, 2 for wrong usage, 3 when the run could "
    "not be made.";

// Throws std::filesystem::filesystem_error.
std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::error_code error(errno, std::generic_category());
  if (file) error.clear();
  // A directory opens, too.
  if (std::filesystem::is_directory(path)) error = std::make_error_code(std::errc::is_a_directory);
  if (error) throw std::filesystem::filesystem_error("cannot read", path, error);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::pair<std::string, std::string>> Settings() {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const char* name :
       {"target", "scenario", "sessions", "connections", "duration", "ramp", "rate", "poisson",
        "tls", "die", "lease", "timeout", "variants", "tolerance", "seed", "max_p99", "min_rate",
        "max_error_rate", "max_rss_growth"}) {
    settings.emplace_back(name, absl::FindCommandLineFlag(name)->CurrentValue());
  }
  return settings;
}

// What is wrong with the flags, in words; "" for nothing.
std::string Complaint() {
  const int sessions = absl::GetFlag(FLAGS_sessions);
  if (sessions < 1 || sessions > kMaxSessions) {
    return absl::StrCat("--sessions is ", sessions, ", must be in [1, ", kMaxSessions, "]");
  }
  if (absl::GetFlag(FLAGS_connections) < 1) return "--connections must be positive";
  if (absl::GetFlag(FLAGS_variants) < 1) return "--variants must be positive";
  if (absl::GetFlag(FLAGS_duration) < absl::Seconds(1)) return "--duration is 1s at least";
  if (absl::GetFlag(FLAGS_timeout) < absl::Milliseconds(1)) return "--timeout is 1ms at least";
  if (absl::GetFlag(FLAGS_ramp) < absl::ZeroDuration()) return "--ramp is negative";
  if (absl::GetFlag(FLAGS_rate) < 0) return "--rate is negative";
  if (absl::GetFlag(FLAGS_tls_cert).empty() != absl::GetFlag(FLAGS_tls_key).empty()) {
    return "--tls_cert and --tls_key come together";
  }
  const double die = absl::GetFlag(FLAGS_die);
  return die < 0 || die > 1 ? "--die is a probability" : "";
}

EngineOptions OptionsFromFlags() {
  EngineOptions options;
  options.target = absl::GetFlag(FLAGS_target);
  options.connections = absl::GetFlag(FLAGS_connections);
  options.sessions = absl::GetFlag(FLAGS_sessions);
  options.rate = absl::GetFlag(FLAGS_rate);
  options.poisson = absl::GetFlag(FLAGS_poisson);
  options.ramp = absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_ramp));
  options.duration = absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_duration));
  options.lease = absl::ToChronoMilliseconds(absl::GetFlag(FLAGS_lease));
  options.die = absl::GetFlag(FLAGS_die);
  options.variants = absl::GetFlag(FLAGS_variants);
  options.seed = absl::GetFlag(FLAGS_seed);
  options.server_pid = absl::GetFlag(FLAGS_server_pid);
  options.tolerance = absl::GetFlag(FLAGS_tolerance);
  options.client.timeout = absl::ToChronoMilliseconds(absl::GetFlag(FLAGS_timeout));
  return options;
}

// Throws std::filesystem::filesystem_error.
void ReadCredentials(client::ClientOptions& options) {
  if (const std::string path = absl::GetFlag(FLAGS_token_file); !path.empty()) {
    options.token = std::string(absl::StripAsciiWhitespace(ReadText(path)));
  }
  const std::string ca = absl::GetFlag(FLAGS_tls_ca);
  const std::string cert = absl::GetFlag(FLAGS_tls_cert);
  const std::string name = absl::GetFlag(FLAGS_tls_server_name);
  if (absl::GetFlag(FLAGS_tls) || !ca.empty() || !cert.empty() || !name.empty()) {
    options.tls = client::Tls::FromFiles(ca, cert, absl::GetFlag(FLAGS_tls_key));
    options.tls->server_name = name;
  }
}

void ShowProgress(const Second& second, const Record& record) {
  if (!absl::GetFlag(FLAGS_progress)) return;
  std::string memory;
  if (second.server_bytes != 0) {
    memory = absl::StrFormat("  server %.0f MB", static_cast<double>(second.server_bytes) / 1e6);
  }
  absl::FPrintF(stderr,
                "%5.0f s  %5d sessions  %7d calls/s  p50 %8.2f ms  p99 %8.2f ms  errors %d  wrong "
                "%d%s\n",
                second.at, second.sessions, second.calls, static_cast<double>(second.p50) / 1e6,
                static_cast<double>(second.p99) / 1e6, record.TotalErrors(), record.wrong, memory);
}

bool Write(const std::string& path, const std::string& text) {
  if (path.empty()) return true;
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) std::cerr << "cannot write " << path << "\n";
  return static_cast<bool>(file);
}

int Measure(const std::vector<Scenario>& scenarios, EngineOptions options) {
  // Not torn down: gRPC's threads may still let go of calls that were given up, and whoever held
  // the last of them would end the channel from one of its own threads. One run in twenty with
  // clients that die ended in a double free.
  auto* engine = new Engine(scenarios, std::move(options), ShowProgress);
  Record record = engine->Run();
  Thresholds thresholds;
  thresholds.max_p99_ms = absl::ToDoubleMilliseconds(absl::GetFlag(FLAGS_max_p99));
  thresholds.min_rate = absl::GetFlag(FLAGS_min_rate);
  thresholds.max_error_rate = absl::GetFlag(FLAGS_max_error_rate);
  thresholds.max_rss_growth = absl::GetFlag(FLAGS_max_rss_growth);
  const std::vector<std::string> violations = Violations(record, thresholds);
  const nlohmann::json report = ToJson(record, Settings(), violations);
  std::cout << ToText(report);
  if (!Write(absl::GetFlag(FLAGS_json), report.dump(1) + "\n") ||
      !Write(absl::GetFlag(FLAGS_html), ToHtml(report))) {
    return kCannotRun;
  }
  return violations.empty() ? 0 : kThresholds;
}

// Why the references, one session's calls each, could not be made.
std::string Explain(const client::Error& error) {
  const std::string target = absl::GetFlag(FLAGS_target);
  if (error.code() == grpc::UNAVAILABLE) {
    return absl::StrCat("no server can be reached at ", target, ": ", error.what());
  }
  return absl::StrCat("one session alone on ", target, " fails already: ",
                      error.reason_name().empty() ? "" : error.reason_name() + ": ", error.what());
}

// Abseil ends the process with 1 where it cannot read a flag, and after --help: here that would
// mean a threshold.
std::vector<char*> ParseFlags(int argc, char** argv) {
  static int status = kUsage;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag.find("-help") < 2 || flag.find("-version") < 2) status = 0;
  }
  static bool parsing = true;
  std::atexit([] {
    if (!parsing) return;
    std::fflush(nullptr);
    std::_Exit(status);
  });
  std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  parsing = false;
  return rest;
}

int Main(int argc, char** argv) {
  absl::SetProgramUsageMessage(kAbout);
  absl::FlagsUsageConfig usage;
  // --help lists the flags of this file, not those of libraries.
  usage.contains_help_flags = [](absl::string_view file) {
    return absl::EndsWith(file, "bench/main.cc");
  };
  usage.version_string = [] { return "gradwire-bench " GRADWIRE_VERSION "\n"; };
  absl::SetFlagsUsageConfig(usage);
  const std::vector<char*> rest = ParseFlags(argc, argv);
  if (const std::string complaint =
          rest.size() > 1 ? absl::StrCat("unexpected argument '", rest[1], "'") : Complaint();
      !complaint.empty()) {
    std::cerr << complaint << "; see --help\n";
    return kUsage;
  }
  const std::string path = absl::GetFlag(FLAGS_scenario);
  try {
    EngineOptions options = OptionsFromFlags();
    ReadCredentials(options.client);
    const std::vector<Scenario> scenarios = ParseScenarios(ReadText(path), options.variants);
    return Measure(scenarios, std::move(options));
  } catch (const ScenarioError& error) {
    std::cerr << path << ": " << error.what() << "\n";
    return kUsage;
  } catch (const std::filesystem::filesystem_error& error) {
    std::cerr << error.path1().string() << ": " << error.code().message() << "\n";
    return kUsage;
  } catch (const client::Error& error) {
    std::cerr << Explain(error) << "\n";
    return kCannotRun;
  }
}

}  // namespace
}  // namespace gradwire::bench

// Without static destructors, for the same reason.
int main(int argc, char** argv) {
  const int status = gradwire::bench::Main(argc, argv);
  std::fflush(nullptr);
  std::_Exit(status);
}
