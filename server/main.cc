// The server: flags, backends, serve, drain.

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <malloc.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/time/time.h"
#include "backend/cpu/cpu_backend.h"
#include "core/parallel.h"
#include "exec/compute_pool.h"
#include "graph/op.h"
#include "rpc/service.h"
#include "session/session_store.h"

ABSL_FLAG(std::string, host, "127.0.0.1", "Address to listen on.");
ABSL_FLAG(int, port, 50051, "Port to listen on; 0 takes a free one.");
ABSL_FLAG(int, threads, 0, "CPUs to compute on; 0 takes those that the process may use.");
ABSL_FLAG(int64_t, max_session_bytes, 0,
          "Bytes of tensor memory that one session may hold; 0 means no limit.");
ABSL_FLAG(int64_t, max_sessions, 10000, "Sessions that may be open at a time.");
ABSL_FLAG(absl::Duration, default_lease, absl::Minutes(10),
          "How long a session lives without a call, unless it asks otherwise.");
ABSL_FLAG(absl::Duration, max_lease, absl::Hours(24), "The longest lease that a session may ask.");
ABSL_FLAG(absl::Duration, grace, absl::Seconds(20),
          "How long running calls may go on after SIGTERM or SIGINT.");

namespace gradwire {
namespace {

constexpr int kUsageError = 2;

// Large blocks that are freed go back to the system only when much is free: taking them anew costs
// more than the copies they are for.
void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 16 << 20);
}

// Refuses to serve with an operator table that breaks its own laws.
bool RegistryIsSound() {
  const std::vector<std::string> complaints = Registry::Global().Validate();
  for (const std::string& complaint : complaints) spdlog::error("operator {}", complaint);
  return complaints.empty();
}

std::chrono::milliseconds Milliseconds(absl::Duration duration) {
  return std::chrono::milliseconds(absl::ToInt64Milliseconds(duration));
}

// Blocks until SIGINT or SIGTERM, which every thread has blocked since before it was started.
int WaitForSignal(const sigset_t& signals) {
  int signal = 0;
  sigwait(&signals, &signal);
  return signal;
}

int Serve(const sigset_t& signals) {
  const int wanted = absl::GetFlag(FLAGS_threads);
  ComputePool pool(wanted > 0 ? wanted : AvailableCpus());
  std::vector<std::unique_ptr<Backend>> backends;
  backends.push_back(std::make_unique<CpuBackend>());
  SessionLimits limits;
  limits.default_lease = Milliseconds(absl::GetFlag(FLAGS_default_lease));
  limits.max_lease = Milliseconds(absl::GetFlag(FLAGS_max_lease));
  limits.max_session_bytes = absl::GetFlag(FLAGS_max_session_bytes);
  limits.max_sessions = absl::GetFlag(FLAGS_max_sessions);
  SessionStore store(std::move(backends), pool, limits);

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  rpc::Service service(store);
  const std::string host = absl::GetFlag(FLAGS_host);
  const std::string address = host + ":" + std::to_string(absl::GetFlag(FLAGS_port));
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(static_cast<int>(rpc::kMaxMessageBytes));
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    spdlog::error("cannot listen on {}: is the port taken?", address);
    return EXIT_FAILURE;
  }
  server->GetHealthCheckService()->SetServingStatus("gradwire.v1.Gradwire", true);
  std::printf("listening on %s:%d\n", host.c_str(), port);
  std::printf(
      "in Python: gradwire.connect(\"%s:%d\"); elsewhere: proto/gradwire/v1/gradwire.proto\n",
      host.c_str(), port);
  std::fflush(stdout);

  const int signal = WaitForSignal(signals);
  spdlog::info("{}: no new sessions; running calls may finish", strsignal(signal));
  server->GetHealthCheckService()->SetServingStatus(false);
  store.Drain();
  server->Shutdown(absl::ToChronoTime(absl::Now() + absl::GetFlag(FLAGS_grace)));
  return EXIT_SUCCESS;
}

int Main(int argc, char** argv) {
  absl::SetProgramUsageMessage("gradwire-server: tensor compute with gradients over gRPC.");
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  if (rest.size() > 1) {
    spdlog::error("unexpected argument '{}'; see --help", rest[1]);
    return kUsageError;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  KeepFreedMemory();
  if (!RegistryIsSound()) return EXIT_FAILURE;
  return Serve(signals);
}

}  // namespace
}  // namespace gradwire

int main(int argc, char** argv) { return gradwire::Main(argc, argv); }
