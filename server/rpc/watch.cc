// The interceptor that watches calls for metrics and log.

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "rpc/call_ids.h"
#include "rpc/log.h"
#include "rpc/metrics.h"
#include "rpc/status.h"

namespace gradwire::rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

constexpr std::string_view kService = "/gradwire.v1.Gradwire/";

class Watch : public grpc::experimental::Interceptor {
 public:
  Watch(Metrics& metrics, bool log, std::string verb)
      : metrics_(metrics), log_(log), verb_(std::move(verb)) {}

  ~Watch() override {
    const auto now = Metrics::Clock::now();
    if (received_ > began_) metrics_.Observe(Phase::kReceive, received_ - began_);
    if (finished_ > began_) metrics_.Observe(Phase::kSend, now - finished_);
    metrics_.Called(verb_, status_, now - began_);
    if (log_) Log(now - began_);
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (log_ &&
        methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      ids_ = IdsOf(*methods->GetRecvInitialMetadata());
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_MESSAGE)) {
      received_ = Metrics::Clock::now();
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      finished_ = Metrics::Clock::now();
      status_ = methods->GetSendStatus();
    }
    methods->Proceed();
  }

 private:
  void Log(Metrics::Clock::duration time) const {
    nlohmann::json line = {{"verb", verb_},
                           {"code", NameOf(status_.error_code())},
                           {"seconds", std::chrono::duration<double>(time).count()}};
    if (!status_.ok()) {
      line["reason"] = ReasonOf(status_);
      line["error"] = status_.error_message();
    }
    const std::pair<const char*, const std::string*> ids[] = {{"session_id", &ids_.session},
                                                              {"request_id", &ids_.request},
                                                              {"trace_id", &ids_.trace},
                                                              {"span_id", &ids_.span}};
    for (const auto& [key, id] : ids) {
      if (!id->empty()) line[key] = *id;
    }
    LogEvent("call", std::move(line));
  }

  Metrics& metrics_;
  const bool log_;
  const std::string verb_;
  CallIds ids_;
  const Metrics::Clock::time_point began_ = Metrics::Clock::now();
  Metrics::Clock::time_point received_ = began_;
  Metrics::Clock::time_point finished_ = began_;
  // What a call ends with whose handler never ended it: the client was gone.
  grpc::Status status_ = grpc::Status::CANCELLED;
};

class Factory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  Factory(Metrics& metrics, bool log) : metrics_(metrics), log_(log) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    const std::string_view method = info->method();
    if (!method.starts_with(kService)) return nullptr;
    return new Watch(metrics_, log_, std::string(method.substr(kService.size())));
  }

 private:
  Metrics& metrics_;
  const bool log_;
};

}  // namespace

Interceptors WatchCalls(Metrics& metrics, bool log) {
  Interceptors interceptors;
  interceptors.push_back(std::make_unique<Factory>(metrics, log));
  return interceptors;
}

}  // namespace gradwire::rpc
