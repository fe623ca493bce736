// What the server counts and measures, in Prometheus's text form. Names and meanings: docs in
// deploy/README.md.
#ifndef GRADWIRE_RPC_METRICS_H_
#define GRADWIRE_RPC_METRICS_H_

#include <grpcpp/support/status.h>
#include <grpcpp/support/string_ref.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/error.h"
#include "session/session_store.h"

namespace gradwire::rpc {

// Parts of a call. Receive: from its first to its last message, as gRPC hands them over. Queue:
// behind other commands of the session and of the server. Decode: from messages to arrays and a
// traced graph. Compute: the operators. Encode: from arrays to messages. Send: from the status to
// the end of the call.
enum class Phase { kReceive, kQueue, kDecode, kCompute, kEncode, kSend };
inline constexpr int kPhases = 6;

// Thread-safe; each count or measurement costs about as much as an uncontended lock.
class Metrics {
 public:
  using Clock = std::chrono::steady_clock;

  // `store` outlives this.
  explicit Metrics(const SessionStore& store);

  // Phases are measured once they can be read: reading the clock takes a part of a small command.
  bool measures() const { return exposer_ != nullptr; }
  void Observe(Phase phase, Clock::duration time) {
    phases_[static_cast<size_t>(phase)]->Observe(Seconds(time));
  }
  void Called(const std::string& verb, const grpc::Status& status, Clock::duration time);
  // A command that computes, and whether its plan was there.
  void Planned(bool cached) { (cached ? plans_cached_ : plans_traced_)->Increment(); }
  // A command failed and its call did not: one of a pipeline.
  void Failed(const Error& error);
  // Bytes of messages.
  void Received(size_t bytes) { received_->Increment(static_cast<double>(bytes)); }
  void Sent(size_t bytes) { sent_->Increment(static_cast<double>(bytes)); }

  // Answers at http://ADDRESS/metrics from now on ("host:port"; port 0 takes a free one); the port.
  // Throws INVALID_ARGUMENT when it cannot listen.
  int Serve(const std::string& address);

 private:
  // `quota`: the limit that stood in the way, or "".
  void Failed(const std::string& reason, const std::string& quota);
  static double Seconds(Clock::duration time) {
    return std::chrono::duration<double>(time).count();
  }

  const std::shared_ptr<prometheus::Registry> registry_;
  const std::shared_ptr<prometheus::Collectable> state_;
  prometheus::Family<prometheus::Counter>& calls_;
  prometheus::Family<prometheus::Counter>& errors_;
  prometheus::Family<prometheus::Counter>& refusals_;
  // What nearly every call touches, found without a lock.
  struct Verb {
    prometheus::Counter* succeeded;
    prometheus::Histogram* seconds;
  };
  std::map<std::string, Verb> verbs_;
  std::array<prometheus::Histogram*, kPhases> phases_;
  prometheus::Counter* plans_cached_;
  prometheus::Counter* plans_traced_;
  prometheus::Counter* received_;
  prometheus::Counter* sent_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

// Measures one part after the other.
class PhaseClock {
 public:
  explicit PhaseClock(Metrics& metrics) : metrics_(metrics) {
    if (metrics.measures()) began_ = Metrics::Clock::now();
  }
  // The part that ends now, and began with the one before.
  void Ends(Phase phase) {
    if (!metrics_.measures()) return;
    const auto now = Metrics::Clock::now();
    metrics_.Observe(phase, now - began_);
    began_ = now;
  }
  Metrics& metrics() { return metrics_; }

 private:
  Metrics& metrics_;
  Metrics::Clock::time_point began_;
};

// What is done with each call of the API: it is counted and measured and, with `log`, becomes an
// event "call" in the log: verb, code, seconds, and the ids that its metadata has (rpc/call_ids.h)
// as session_id, request_id, trace_id and span_id; of a call that failed also reason and error.
struct WatchOptions {
  Metrics& metrics;
  bool log = false;
};

// Watches one call, from its beginning to the end of this.
class Watch {
 public:
  using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

  // `path`: "/gradwire.v1.Gradwire/Verb". `options` and `metadata` outlive this.
  Watch(const WatchOptions& options, std::string_view path, const Metadata& metadata);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // A message has come.
  void Received() { received_ = Metrics::Clock::now(); }
  // The call ends with this.
  void Finishes(const grpc::Status& status);

 private:
  void Log(Metrics::Clock::duration time) const;

  const WatchOptions& options_;
  const std::string verb_;
  const Metadata& metadata_;
  const Metrics::Clock::time_point began_ = Metrics::Clock::now();
  Metrics::Clock::time_point received_ = began_;
  Metrics::Clock::time_point finished_ = began_;
  // What a call ends with that was never finished.
  grpc::Status status_ = grpc::Status::CANCELLED;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_METRICS_H_
