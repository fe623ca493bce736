#include "tests/fuzz/commands.h"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "backend/cpu/cpu_backend.h"
#include "core/parallel.h"
#include "exec/compute_pool.h"
#include "rpc/command_names.h"
#include "rpc/commands.h"
#include "rpc/execute.h"
#include "session/session.h"
#include "tests/fuzz/target.h"

namespace gradwire::fuzz {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kMaxBytes = 64 << 20;
constexpr std::chrono::seconds kPatience(1);
constexpr int kTimes = 4;

ComputePool& Pool() {
  static ComputePool pool(1);
  return pool;
}

// As the server runs it: the plan of a request that comes again is recorded, and then repeated.
void Execute(Session& session, v1::RunRequest request) {
  static SessionStore store({}, Pool(), {});
  static rpc::Metrics metrics(store);
  const Clock::time_point end = Clock::now() + kPatience;
  const auto between_ops = [end] {
    if (Clock::now() > end) throw Error(reason::kDeadlineExceeded, "too slow");
  };
  v1::RunResponse response;
  rpc::Payloads payloads;
  rpc::ExecuteOnce(session, rpc::PhaseClock(metrics), 0, 0, rpc::RepeatableOf(request, session),
                   payloads, &response, between_ops,
                   [&](rpc::CommandScope& scope) { rpc::Run(scope, request, &response); });
  Expect(response.results_size() == request.commands_size(), "a command without a result");
  payloads.Serialize(response);
}

void PutKept(Session& session) {
  Transaction transaction(session, [] {});
  Tensor tensor = AllocateTensor(session.stream(), {DType::kFloat32, {3}});
  std::fill_n(tensor.mutable_data<float>(), 3, 1.0f);
  transaction.Put({{"kept", std::move(tensor)}}, /*requires_grad=*/true);
  transaction.Commit();
}

// Any bytes that are a RunRequest.
void Run(std::string_view bytes) {
  v1::RunRequest request;
  if (request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) RunInSession(request);
}

const bool added = AddTarget("run", Run);

}  // namespace

void RunInSession(const v1::RunRequest& request) {
  static CpuBackend backend;
  SetThreads(1);
  const auto all = std::make_shared<Quota>(0);
  {
    Session session("fuzz", backend, Pool(),
                    {.max_bytes = kMaxBytes, .max_tensors = 1000, .max_plans = 16}, all);
    PutKept(session);
    for (const v1::Command& command : request.commands()) {
      Handle([&] { rpc::NamesOf(command, session); });
    }
    for (int i = 0; i < kTimes; ++i) {
      const size_t names = session.names().size();
      const int64_t used = session.quota().used();
      if (Handle([&] { Execute(session, request); }).ok()) continue;
      Expect(session.names().size() == names && session.quota().used() == used,
             "a request that failed changed the session");
      break;
    }
  }
  Expect(all->used() == 0, "memory is left behind");
}

}  // namespace gradwire::fuzz
