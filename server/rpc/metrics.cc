#include "rpc/metrics.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"
#include "exec/host_fallback.h"
#include "exec/op_times.h"
#include "gradwire/v1/gradwire.pb.h"
#include "rpc/status.h"

namespace gradwire::rpc {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// From 10 microseconds to 100 seconds.
const prometheus::Histogram::BucketBoundaries kSeconds = {
    1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1, 3, 10, 30, 100};
constexpr std::array<const char*, kPhases> kPhaseNames = {"receive", "queue",  "decode",
                                                          "compute", "encode", "send"};

MetricFamily NewFamily(const char* name, const char* help, MetricType type) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  return family;
}

void Add(MetricFamily& family, double value, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  family.metric.push_back(std::move(metric));
}

// What is there now, looked up when it is asked for.
class State : public prometheus::Collectable {
 public:
  explicit State(const SessionStore& store) : store_(store) {}

  std::vector<MetricFamily> Collect() const override {
    std::vector<MetricFamily> families;
    CollectSessions(families);
    CollectMemory(families);
    CollectOperators(families);
    return families;
  }

 private:
  void CollectSessions(std::vector<MetricFamily>& families) const {
    auto sessions = NewFamily("gradwire_sessions", "Open sessions", MetricType::Gauge);
    auto tensors = NewFamily("gradwire_tensors", "Names bound in sessions", MetricType::Gauge);
    auto bytes = NewFamily("gradwire_tenant_bytes", "Tensor memory in use", MetricType::Gauge);
    for (const TenantUsage& usage : store_.Usage()) {
      Add(bytes, static_cast<double>(usage.bytes), {{"tenant", usage.tenant}});
      for (const auto& [device, held] : usage.devices) {
        const std::vector<ClientMetric::Label> labels = {{"tenant", usage.tenant},
                                                         {"device", device}};
        Add(sessions, static_cast<double>(held.sessions), labels);
        Add(tensors, static_cast<double>(held.tensors), labels);
      }
    }
    for (auto* family : {&sessions, &tensors, &bytes}) families.push_back(std::move(*family));
  }
  void CollectMemory(std::vector<MetricFamily>& families) const {
    auto live = NewFamily("gradwire_live_bytes", "Device memory in tensors", MetricType::Gauge);
    auto pooled =
        NewFamily("gradwire_pooled_bytes", "Device memory kept for reuse", MetricType::Gauge);
    auto allocations =
        NewFamily("gradwire_system_allocations_total",
                  "Blocks of device memory that were not to be had by reuse", MetricType::Counter);
    auto healthy =
        NewFamily("gradwire_device_healthy", "Whether the device can be used", MetricType::Gauge);
    for (const auto& backend : store_.backends()) {
      const MemoryStats memory = backend->memory();
      const std::vector<ClientMetric::Label> device = {{"device", backend->device().name()}};
      Add(live, static_cast<double>(memory.live_bytes), device);
      Add(pooled, static_cast<double>(memory.cached_bytes), device);
      Add(allocations, static_cast<double>(memory.system_allocations), device);
      Add(healthy, backend->problem().empty() ? 1 : 0, device);
    }
    for (auto* family : {&live, &pooled, &allocations, &healthy})
      families.push_back(std::move(*family));
  }
  static std::vector<ClientMetric::Label> Labels(const OpDef& op) {
    return {{"domain", std::string(op.domain)},
            {"op", std::string(op.name)},
            {"since", std::to_string(op.since)}};
  }
  static void CollectOperators(std::vector<MetricFamily>& families) {
    auto runs = NewFamily("gradwire_op_runs_total", "Operators that ran", MetricType::Counter);
    auto time = NewFamily("gradwire_op_seconds_total", "Time in operators", MetricType::Counter);
    for (const auto& [op, entry] : OpTimes::Global().Read()) {
      Add(runs, static_cast<double>(entry.runs), Labels(*op));
      Add(time, std::chrono::duration<double>(entry.time).count(), Labels(*op));
    }
    auto fallbacks = NewFamily("gradwire_host_fallbacks_total",
                               "Operators of sessions on other devices that ran on the host",
                               MetricType::Counter);
    for (const auto& [op, count] : HostFallbacks::Global().Read()) {
      Add(fallbacks, static_cast<double>(count), Labels(*op));
    }
    for (auto* family : {&runs, &time, &fallbacks}) families.push_back(std::move(*family));
  }

  const SessionStore& store_;
};

}  // namespace

Metrics::Metrics(const SessionStore& store)
    : registry_(std::make_shared<prometheus::Registry>()),
      state_(std::make_shared<State>(store)),
      calls_(prometheus::BuildCounter()
                 .Name("gradwire_calls_total")
                 .Help("Calls that ended")
                 .Register(*registry_)),
      errors_(prometheus::BuildCounter()
                  .Name("gradwire_errors_total")
                  .Help("Calls, and commands of pipelines, that failed, by their reason")
                  .Register(*registry_)),
      refusals_(prometheus::BuildCounter()
                    .Name("gradwire_quota_refusals_total")
                    .Help("What was refused, by the limit that it would have passed")
                    .Register(*registry_)),
      phases_() {
  auto& seconds = prometheus::BuildHistogram()
                      .Name("gradwire_call_seconds")
                      .Help("From a call's beginning to its end")
                      .Register(*registry_);
  const auto* service = v1::RunRequest::descriptor()->file()->FindServiceByName("Gradwire");
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string verb = service->method(i)->name();
    verbs_[verb] = {&calls_.Add({{"verb", verb}, {"code", "OK"}}),
                    &seconds.Add({{"verb", verb}}, kSeconds)};
  }
  auto& phases = prometheus::BuildHistogram()
                     .Name("gradwire_phase_seconds")
                     .Help("Parts of a call")
                     .Register(*registry_);
  for (size_t i = 0; i < phases_.size(); ++i) {
    phases_[i] = &phases.Add({{"phase", kPhaseNames[i]}}, kSeconds);
  }
  auto& plans = prometheus::BuildCounter()
                    .Name("gradwire_plans_total")
                    .Help("Commands that compute: run from a cached plan, or traced")
                    .Register(*registry_);
  plans_cached_ = &plans.Add({{"plan", "cached"}});
  plans_traced_ = &plans.Add({{"plan", "traced"}});
  auto& bytes = prometheus::BuildCounter()
                    .Name("gradwire_message_bytes_total")
                    .Help("Bytes of messages")
                    .Register(*registry_);
  received_ = &bytes.Add({{"direction", "received"}});
  sent_ = &bytes.Add({{"direction", "sent"}});
}

void Metrics::Called(const std::string& verb, const grpc::Status& status, Clock::duration time) {
  const auto found = verbs_.find(verb);
  if (found == verbs_.end()) return;
  found->second.seconds->Observe(Seconds(time));
  if (status.ok()) {
    found->second.succeeded->Increment();
    return;
  }
  calls_.Add({{"verb", verb}, {"code", NameOf(status.error_code())}}).Increment();
  const std::optional<v1::ErrorInfo> info = InfoOf(status);
  if (info.has_value()) {
    const auto quota = info->metadata().find(kQuotaKey);
    Failed(info->reason(), quota == info->metadata().end() ? "" : quota->second);
  } else {
    Failed("", "");
  }
}

void Metrics::Failed(const Error& error) {
  const auto quota = error.metadata().find(kQuotaKey);
  Failed(std::string(error.reason().name), quota == error.metadata().end() ? "" : quota->second);
}

void Metrics::Failed(const std::string& reason, const std::string& quota) {
  errors_.Add({{"reason", reason}}).Increment();
  if (!quota.empty()) refusals_.Add({{"quota", quota}}).Increment();
}

int Metrics::Serve(const std::string& address) {
  try {
    exposer_ = std::make_unique<prometheus::Exposer>(address);
  } catch (const std::exception& exception) {
    throw Error(reason::kInvalidArgument,
                fmt::format("metrics cannot be served on {}: {}", address, exception.what()));
  }
  exposer_->RegisterCollectable(registry_);
  exposer_->RegisterCollectable(state_);
  return exposer_->GetListeningPorts().front();
}

}  // namespace gradwire::rpc
