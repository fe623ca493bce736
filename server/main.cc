// The server: flags, backends, serve, drain.

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/library.h"
#include "core/error.h"
#include "core/parallel.h"
#include "exec/compute_pool.h"
#include "graph/op.h"
#include "rpc/access.h"
#include "rpc/call.h"
#include "rpc/device_watch.h"
#include "rpc/door.h"
#include "rpc/health.h"
#include "rpc/listener.h"
#include "rpc/log.h"
#include "rpc/metrics.h"
#include "rpc/probe.h"
#include "rpc/service.h"
#include "rpc/tokens.h"
#include "session/session_store.h"

ABSL_FLAG(std::string, host, "127.0.0.1",
          "Address to listen on; 'unix:PATH' is a UNIX socket, without a port.");
ABSL_FLAG(int, port, 50051, "Port to listen on; 0 takes a free one.");
ABSL_FLAG(bool, insecure, false, "Plaintext although others than this machine can reach --host.");
ABSL_FLAG(std::string, tls_cert, "", "PEM file of the server's certificate chain: speak TLS.");
ABSL_FLAG(std::string, tls_key, "", "PEM file of the certificate's private key.");
ABSL_FLAG(std::string, tls_client_ca, "",
          "PEM file of the authorities that must have signed each client's certificate.");
ABSL_FLAG(std::string, tokens_file, "",
          "JSON file of bearer tokens' SHA-256 by tenant; without it no token is asked for.");
ABSL_FLAG(std::string, health_host, "127.0.0.1", "Address of --health_port.");
ABSL_FLAG(int, health_port, -1,
          "Port of a second, plaintext listener that only answers health checks; -1 means none.");
ABSL_FLAG(std::string, metrics_host, "127.0.0.1", "Address of --metrics_port.");
ABSL_FLAG(int, metrics_port, -1,
          "HTTP port at whose /metrics Prometheus finds the metrics; -1 means none.");
ABSL_FLAG(bool, log_calls, false, "Write a line about each call to the log.");
ABSL_FLAG(std::string, log_format, "text", "Lines of the log: text, or a JSON object each (json).");
ABSL_FLAG(std::string, shared_memory, "",
          "Share memory with clients on this machine, which get it at a UNIX socket of this path.");
ABSL_FLAG(std::string, probe, "",
          "Ask the plaintext listener at HOST:PORT whether it serves; exit with 0 if so.");
ABSL_FLAG(std::string, cuda_library, gradwire::cuda::kLibraryName,
          "The CUDA backend: a path, or a name to look for; empty means no CUDA.");
ABSL_FLAG(int, threads, 0, "CPUs to compute on; 0 takes those that the process may use.");
ABSL_FLAG(int64_t, max_message_bytes, int64_t{64} << 20, "Bytes that one message may have.");
ABSL_FLAG(int64_t, max_bytes, 0, "Bytes of tensor memory in all; 0 means no limit.");
ABSL_FLAG(int64_t, max_sessions, 10000, "Sessions that may be open at a time.");
ABSL_FLAG(int64_t, max_tenant_bytes, 0,
          "Bytes of tensor memory of one tenant, unless --tokens_file says otherwise.");
ABSL_FLAG(int64_t, max_tenant_sessions, 0,
          "Sessions of one tenant, unless --tokens_file says otherwise.");
ABSL_FLAG(int64_t, max_session_bytes, 0, "Bytes of tensor memory of one session.");
ABSL_FLAG(int64_t, max_session_tensors, 1000000, "Tensors that one session may have bound.");
ABSL_FLAG(int64_t, max_session_programs, 1000, "Programs that one session may have.");
ABSL_FLAG(int64_t, max_session_queued, 2048, "Commands that may wait in one session.");
ABSL_FLAG(int64_t, max_session_plans, 64,
          "Commands of one session whose plans are kept for when they come again; 0 for none.");
ABSL_FLAG(bool, fuse_plans, true,
          "Run elementwise operators that follow each other as one when a command comes again.");
ABSL_FLAG(bool, channels_last, true,
          "Let images lie as convolutions are fastest when a command comes again.");
ABSL_FLAG(bool, winograd, true,
          "Let 3x3 convolutions of constant filters multiply less when a command comes again.");
ABSL_FLAG(bool, record_plans, true,
          "Launch a GPU's work as a whole (CUDA graphs) when a command comes again.");
ABSL_FLAG(bool, absorb_constants, true,
          "Let convolutions scale and shift by constants when a command comes again.");
ABSL_FLAG(bool, split_batches, true,
          "Let each thread compute images of its own when a command comes again.");
ABSL_FLAG(bool, plan_memory, true,
          "Put the arrays of a command that comes again into one block, at places planned ahead.");
ABSL_FLAG(absl::Duration, default_lease, absl::Minutes(10),
          "How long a session lives without a call, unless it asks otherwise.");
ABSL_FLAG(absl::Duration, max_lease, absl::Hours(24), "The longest lease that a session may ask.");
ABSL_FLAG(
    absl::Duration, drain_delay, absl::ZeroDuration(),
    "How long the server answers at least after SIGTERM, for balancers to see that it stops.");
ABSL_FLAG(absl::Duration, grace, absl::Seconds(20),
          "How long after SIGTERM or SIGINT the server ends at the latest.");

namespace gradwire {
namespace {

constexpr int kUsageError = 2;

// Distributions build Abseil with its search for deadlocks, which each lock of gRPC's then pays
// for.
void LockWithoutChecks() { absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore); }

// Refuses to serve with an operator table that breaks its own laws.
bool RegistryIsSound() {
  const std::vector<std::string> complaints = Registry::Global().Validate();
  for (const std::string& complaint : complaints) spdlog::error("operator {}", complaint);
  return complaints.empty();
}

std::chrono::milliseconds Milliseconds(absl::Duration duration) {
  return std::chrono::milliseconds(absl::ToInt64Milliseconds(duration));
}

// Waits for SIGINT or SIGTERM, which every thread has blocked since before it was started; calls
// `meanwhile` each second.
int WaitForSignal(const sigset_t& signals, const std::function<void()>& meanwhile) {
  constexpr timespec kPeriod{.tv_sec = 1, .tv_nsec = 0};
  while (true) {
    const int signal = sigtimedwait(&signals, nullptr, &kPeriod);
    if (signal > 0) return signal;
    meanwhile();
  }
}

SessionLimits Limits() {
  SessionLimits limits;
  limits.default_lease = Milliseconds(absl::GetFlag(FLAGS_default_lease));
  limits.max_lease = Milliseconds(absl::GetFlag(FLAGS_max_lease));
  limits.max_session_bytes = absl::GetFlag(FLAGS_max_session_bytes);
  limits.max_tensors = absl::GetFlag(FLAGS_max_session_tensors);
  limits.max_programs = absl::GetFlag(FLAGS_max_session_programs);
  limits.max_queued = absl::GetFlag(FLAGS_max_session_queued);
  limits.max_plans = absl::GetFlag(FLAGS_max_session_plans);
  limits.plans = {.fuse = absl::GetFlag(FLAGS_fuse_plans),
                  .channels_last = absl::GetFlag(FLAGS_channels_last),
                  .winograd = absl::GetFlag(FLAGS_winograd),
                  .record = absl::GetFlag(FLAGS_record_plans),
                  .absorb = absl::GetFlag(FLAGS_absorb_constants),
                  .by_sample = absl::GetFlag(FLAGS_split_batches),
                  .memory = absl::GetFlag(FLAGS_plan_memory)};
  limits.max_bytes = absl::GetFlag(FLAGS_max_bytes);
  limits.max_sessions = absl::GetFlag(FLAGS_max_sessions);
  limits.tenant = {absl::GetFlag(FLAGS_max_tenant_bytes), absl::GetFlag(FLAGS_max_tenant_sessions)};
  return limits;
}

rpc::Listener ListenerFlags() {
  return {absl::GetFlag(FLAGS_host),          absl::GetFlag(FLAGS_port),
          absl::GetFlag(FLAGS_tls_cert),      absl::GetFlag(FLAGS_tls_key),
          absl::GetFlag(FLAGS_tls_client_ca), absl::GetFlag(FLAGS_insecure)};
}

// A listener, and the threads that serve what comes to it.
struct Listening {
  ~Listening() {
    if (server != nullptr) server->Shutdown();
  }

  rpc::Health health;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<rpc::CallThreads> threads;
};

// Ends the service: health turns NOT_SERVING and new sessions are refused while what runs finishes.
// What is not done shortly before the grace period ends is cancelled, between operators.
void Drain(Listening& calls, Listening* health, SessionStore& store, const ComputePool& pool) {
  constexpr auto kPoll = absl::Milliseconds(10);
  const absl::Time began = absl::Now();
  const absl::Duration grace = absl::GetFlag(FLAGS_grace);
  const absl::Time cancel = began + grace - std::min(absl::Seconds(1), grace / 4);
  // An operator that runs on is not waited for: nothing would come of it.
  std::thread([end = began + grace] {
    absl::SleepFor(end - absl::Now());
    spdlog::warn("the grace period is over");
    std::_Exit(EXIT_SUCCESS);
  }).detach();
  calls.health.SetAll(false);
  if (health != nullptr) health->health.SetAll(false);
  store.Drain();
  const absl::Time earliest = began + absl::GetFlag(FLAGS_drain_delay);
  while (absl::Now() < cancel && (absl::Now() < earliest || !pool.idle())) absl::SleepFor(kPoll);
  calls.server->Shutdown(absl::ToChronoTime(cancel));
  if (health != nullptr) health->server->Shutdown(absl::ToChronoTime(cancel));
}

// A server for health checks alone: probes speak neither TLS nor tokens. nullptr: it cannot listen.
std::unique_ptr<Listening> ServeHealth() {
  auto listening = std::make_unique<Listening>();
  int port = 0;
  const std::string address =
      rpc::Address(absl::GetFlag(FLAGS_health_host), absl::GetFlag(FLAGS_health_port));
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&listening->health);
  listening->threads = std::make_unique<rpc::CallThreads>(builder, 1);
  listening->server = builder.BuildAndStart();
  if (listening->server == nullptr || port == 0) {
    spdlog::error("cannot listen on {}: is the port taken?", address);
    return nullptr;
  }
  listening->threads->Start({&listening->health}, rpc::CallThreads::Pace::kSeldom);
  std::printf("health checks on %s\n",
              rpc::Address(absl::GetFlag(FLAGS_health_host), port).c_str());
  return listening;
}

void ServeMetrics(rpc::Metrics& metrics) {
  const int port = absl::GetFlag(FLAGS_metrics_port);
  if (port < 0) return;
  const std::string host = absl::GetFlag(FLAGS_metrics_host);
  const int bound = metrics.Serve(rpc::Address(host, port));
  std::printf("metrics on http://%s/metrics\n", rpc::Address(host, bound).c_str());
}

// How much of a message may be on its way from the start. Later it is gRPC's own guess, 4 to 32
// MiB: without its probe (GRPC_ARG_HTTP2_BDP_PROBE) a connection never has more than the message
// that is being read and 64 KiB on its way, and a client waits while the server copies.
void SetWindow(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 8 << 20);
}

// nullptr: it cannot listen.
std::unique_ptr<Listening> ServeCalls(const rpc::Listener& listener, rpc::Service& service,
                                      const ComputePool& pool) {
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto listening = std::make_unique<Listening>();
  int port = 0;
  grpc::ServerBuilder builder;
  const std::string address = rpc::Address(listener.host, listener.port);
  rpc::CheckFree(listener.host);
  builder.AddListeningPort(address, rpc::Credentials(listener), &port);
  builder.SetMaxReceiveMessageSize(static_cast<int>(service.max_message_bytes()));
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  SetWindow(builder);
  builder.RegisterService(&service);
  builder.RegisterService(&listening->health);
  const int threads = std::clamp(pool.cpus() / 4, 1, 8);
  listening->threads = std::make_unique<rpc::CallThreads>(builder, threads);
  listening->server = builder.BuildAndStart();
  if (listening->server == nullptr || port == 0) {
    spdlog::error("cannot listen on {}: is the port taken, or the certificate not its key's?",
                  address);
    return nullptr;
  }
  listening->health.Set("gradwire.v1.Gradwire", true);
  const bool polls = threads == 1 && pool.cpus() > 1;
  listening->threads->Start(
      {&service, &listening->health},
      polls ? rpc::CallThreads::Pace::kPolls : rpc::CallThreads::Pace::kSleeps,
      [&pool] { return pool.idle(); });
  const std::string reached = rpc::Address(listener.host, port);
  std::printf("listening on %s\n", reached.c_str());
  std::printf("in Python: gradwire.connect(\"%s\"); elsewhere: proto/gradwire/v1/gradwire.proto\n",
              reached.c_str());
  std::fflush(stdout);
  return listening;
}

struct Devices {
  std::vector<std::unique_ptr<Backend>> backends;
  std::string missing;
};

Devices OpenDevices() {
  Devices devices;
  devices.backends.push_back(std::make_unique<CpuBackend>());
  const std::string path = absl::GetFlag(FLAGS_cuda_library);
  if (path.empty()) {
    devices.missing = "no CUDA: --cuda_library is empty";
    return devices;
  }
  cuda::Gpus gpus = cuda::OpenGpus(path);
  devices.missing = std::move(gpus.missing);
  for (size_t i = 0; i < gpus.drivers.size(); ++i) {
    devices.backends.push_back(std::make_unique<cuda::CudaBackend>(
        static_cast<int>(i), std::move(gpus.drivers[i]), *devices.backends.front()));
    const DeviceDescription gpu = devices.backends.back()->Describe();
    spdlog::info("cuda:{}: {}, {} MiB, {}", i, gpu.description, gpu.memory_bytes >> 20,
                 gpu.library);
  }
  return devices;
}

int Serve(const sigset_t& signals) {
  SessionLimits limits = Limits();
  std::optional<rpc::Tokens> tokens;
  if (const std::string path = absl::GetFlag(FLAGS_tokens_file); !path.empty()) {
    tokens = rpc::Tokens::Read(path);
    limits.tenants = tokens->Limits(limits.tenant);
  }
  const int wanted = absl::GetFlag(FLAGS_threads);
  ComputePool pool(wanted > 0 ? wanted : AvailableCpus());
  Devices devices = OpenDevices();
  SessionStore store(std::move(devices.backends), pool, limits, std::move(devices.missing));
  rpc::Metrics metrics(store);
  const rpc::Access access(store, metrics, std::move(tokens));
  std::optional<rpc::Door> door;
  if (const std::string path = absl::GetFlag(FLAGS_shared_memory); !path.empty()) {
    door.emplace(path);
  }
  const rpc::WatchOptions watch{metrics, absl::GetFlag(FLAGS_log_calls)};
  const bool watched = watch.log || absl::GetFlag(FLAGS_metrics_port) >= 0;
  rpc::Service service(access, absl::GetFlag(FLAGS_max_message_bytes), door ? &*door : nullptr,
                       watched ? &watch : nullptr);

  ServeMetrics(metrics);
  const bool has_health = absl::GetFlag(FLAGS_health_port) >= 0;
  const auto health = has_health ? ServeHealth() : nullptr;
  if (has_health && health == nullptr) return EXIT_FAILURE;
  const auto calls = ServeCalls(ListenerFlags(), service, pool);
  if (calls == nullptr) return EXIT_FAILURE;

  rpc::DeviceWatch devices_watch(store, calls->health);
  const int signal = WaitForSignal(signals, [&] { devices_watch.Look(); });
  spdlog::info("{}: no new sessions; running calls may finish", strsignal(signal));
  Drain(*calls, health.get(), store, pool);
  return EXIT_SUCCESS;
}

int ProbeTarget(const std::string& target) {
  const std::string problem = rpc::Probe(target);
  if (problem.empty()) return EXIT_SUCCESS;
  std::fprintf(stderr, "%s: %s\n", target.c_str(), problem.c_str());
  return EXIT_FAILURE;
}

int Main(int argc, char** argv) {
  rpc::OpenLog(rpc::LogFormat::kText);
  absl::SetProgramUsageMessage("gradwire-server: tensor compute with gradients over gRPC.");
  absl::FlagsUsageConfig usage;
  // --help lists the flags of this file, not those of libraries.
  usage.contains_help_flags = [](absl::string_view file) {
    return absl::EndsWith(file, "server/main.cc");
  };
  usage.version_string = [] { return "gradwire-server " GRADWIRE_VERSION "\n"; };
  absl::SetFlagsUsageConfig(usage);
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  if (rest.size() > 1) {
    spdlog::error("unexpected argument '{}'; see --help", rest[1]);
    return kUsageError;
  }
  const std::string log_format = absl::GetFlag(FLAGS_log_format);
  if (log_format != "text" && log_format != "json") {
    spdlog::error("--log_format is text or json, not '{}'", log_format);
    return kUsageError;
  }
  if (log_format == "json") rpc::OpenLog(rpc::LogFormat::kJson);
  if (const std::string target = absl::GetFlag(FLAGS_probe); !target.empty()) {
    return ProbeTarget(target);
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  LockWithoutChecks();
  if (!RegistryIsSound()) return EXIT_FAILURE;
  try {
    return Serve(signals);
  } catch (const Error& error) {
    spdlog::error("{}", error.message());
    return kUsageError;
  }
}

}  // namespace
}  // namespace gradwire

int main(int argc, char** argv) {
  gradwire::RequireEnvironment(argv);
  return gradwire::Main(argc, argv);
}
