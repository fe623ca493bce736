// Simulated users against a server.
#ifndef GRADWIRE_BENCH_ENGINE_H_
#define GRADWIRE_BENCH_ENGINE_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "gradwire/client.h"
#include "record.h"
#include "scenario.h"

namespace gradwire::bench {

struct EngineOptions {
  std::string target;
  // REQUIRES: a timeout.
  client::ClientOptions client;
  int connections = 4;
  int sessions = 100;
  // Calls a second over all sessions, scheduled ahead (open loop); 0: each session calls, thinks
  // and calls again (closed loop).
  double rate = 0;
  // Exponential times between arrivals; otherwise they are evenly spaced.
  bool poisson = true;
  std::chrono::nanoseconds ramp{0};
  std::chrono::nanoseconds duration{0};
  std::chrono::milliseconds lease{0};
  // How likely it is that a client dies during a call.
  double die = 0;
  int variants = 1;
  uint64_t seed = 1;
  // Of this process resident memory is sampled; 0: none.
  int server_pid = 0;
  // Relative to the largest element of the reference.
  double tolerance = 1e-4;
};

// A user has one session at a time, opens, calls, closes and begins anew. All its state changes on
// the thread of Run; gRPC's threads only post to it.
class Engine {
 public:
  // `progress` is called with each second.
  Engine(const std::vector<Scenario>& scenarios, EngineOptions options,
         std::function<void(const Second&, const Record&)> progress);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Makes the reference answers, one session at a time, then the load. Throws client::Error where
  // a reference cannot be made.
  Record Run();

 private:
  struct User;
  struct Timer {
    Clock::time_point at;
    uint64_t order;
    std::function<void()> work;
    bool operator<(const Timer& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  // Work that gRPC's threads leave for the thread of Run.
  class Inbox {
   public:
    void Post(std::function<void()> work);
    // Waits for work until a time.
    std::deque<std::function<void()>> Take(Clock::time_point until);

   private:
    std::mutex mutex_;
    std::condition_variable posted_;
    std::deque<std::function<void()>> work_;  // guarded by mutex_
  };

  void MakeReferences();
  void Loop();
  void At(Clock::time_point time, std::function<void()> work);

  void Begin(User& user);
  void Next(User& user);
  void Arrive();
  void Send(User& user, Clock::time_point due);
  void Answered(User& user, Clock::time_point due, Clock::time_point answered,
                const std::string& reason, const std::string& text,
                const v1::RunResponse& response);
  void Die(User& user, uint64_t life);
  void EndSession(User& user);
  void Tick();
  bool Ending() const { return Clock::now() >= end_; }

  void Verify(const User& user, const v1::RunResponse& response);

  const std::vector<Scenario>& scenarios_;
  const EngineOptions options_;
  const std::function<void(const Second&, const Record&)> progress_;
  std::mt19937_64 random_;
  std::vector<client::Client> clients_;
  std::vector<std::unique_ptr<User>> users_;
  // By scenario, variant, and call in the session.
  std::vector<std::vector<std::vector<std::string>>> references_;
  Record record_;
  std::vector<int64_t> memory_;  // of the server, since the ramp

  Clock::time_point start_;
  Clock::time_point end_;
  size_t begun_ = 0;  // users that the ramp has let in
  size_t next_arrival_ = 0;
  Clock::time_point arrival_due_;
  int64_t sessions_ = 0;
  int64_t in_flight_ = 0;
  uint64_t order_ = 0;
  std::priority_queue<Timer> timers_;

  // Callbacks hold it too: the last of them may still be leaving it when the engine ends.
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
};

// Resident memory of a process in bytes; 0 where it cannot be read.
int64_t ResidentBytes(int pid);

}  // namespace gradwire::bench

#endif  // GRADWIRE_BENCH_ENGINE_H_
