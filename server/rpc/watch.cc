// Watching calls for metrics and log.

#include <nlohmann/json.hpp>
#include <utility>

#include "rpc/call_ids.h"
#include "rpc/log.h"
#include "rpc/metrics.h"
#include "rpc/status.h"

namespace gradwire::rpc {

Watch::Watch(const WatchOptions& options, std::string_view path, const Metadata& metadata)
    : options_(options), verb_(path.substr(path.rfind('/') + 1)), metadata_(metadata) {}

Watch::~Watch() {
  const auto now = Metrics::Clock::now();
  Metrics& metrics = options_.metrics;
  if (received_ > began_) metrics.Observe(Phase::kReceive, received_ - began_);
  if (finished_ > began_) metrics.Observe(Phase::kSend, now - finished_);
  metrics.Called(verb_, status_, now - began_);
  if (options_.log) Log(now - began_);
}

void Watch::Finishes(const grpc::Status& status) {
  finished_ = Metrics::Clock::now();
  status_ = status;
}

void Watch::Log(Metrics::Clock::duration time) const {
  nlohmann::json line = {{"verb", verb_},
                         {"code", NameOf(status_.error_code())},
                         {"seconds", std::chrono::duration<double>(time).count()}};
  if (!status_.ok()) {
    line["reason"] = ReasonOf(status_);
    line["error"] = status_.error_message();
  }
  const CallIds ids = IdsOf(metadata_);
  const std::pair<const char*, const std::string*> fields[] = {{"session_id", &ids.session},
                                                               {"request_id", &ids.request},
                                                               {"trace_id", &ids.trace},
                                                               {"span_id", &ids.span}};
  for (const auto& [key, id] : fields) {
    if (!id->empty()) line[key] = *id;
  }
  LogEvent("call", std::move(line));
}

}  // namespace gradwire::rpc
