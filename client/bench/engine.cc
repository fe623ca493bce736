#include "engine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>
#include <span>
#include <utility>

namespace gradwire::bench {
namespace {

// After an error a user waits before it begins anew.
constexpr std::chrono::milliseconds kAfterError{200};
// How long after it began a call a dying client dies, at most.
constexpr std::chrono::microseconds kDeath{2000};

// "" for no error.
std::string ReasonOf(const client::Error* error) {
  if (error == nullptr) return "";
  return error->reason_name().empty() ? "gRPC status " + std::to_string(error->code())
                                      : error->reason_name();
}

std::chrono::nanoseconds Exponential(std::mt19937_64& random, std::chrono::nanoseconds mean) {
  std::exponential_distribution<double> draw(1.0);
  return std::chrono::nanoseconds(
      static_cast<int64_t>(static_cast<double>(mean.count()) * draw(random)));
}

// The payloads of all fetches, one after another.
std::string Payload(const v1::RunResponse& response) {
  std::string payload;
  for (const v1::CommandResult& result : response.results()) {
    for (const v1::TensorProto& tensor : result.fetch().tensors()) payload += tensor.raw_data();
  }
  return payload;
}

// Whether floats agree within `tolerance` of the largest of them. What is fetched is float32.
bool Close(const std::string& got, const std::string& want, double tolerance) {
  if (got.size() != want.size() || got.size() % sizeof(float) != 0) return false;
  std::vector<float> a(got.size() / sizeof(float));
  std::vector<float> b(a.size());
  std::memcpy(a.data(), got.data(), got.size());
  std::memcpy(b.data(), want.data(), want.size());
  double largest = 0;
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return false;
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - b[i]));
  }
  return worst <= tolerance * largest;
}

// Of which the server's memory is averaged, at the ramp's end and at the end.
constexpr size_t kMemorySeconds = 30;

int64_t Mean(std::span<const int64_t> numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), int64_t{0}) /
         static_cast<int64_t>(numbers.size());
}

}  // namespace

struct Engine::User {
  size_t scenario = 0;
  int variant = 0;
  size_t client = 0;
  std::optional<client::Session> session;
  size_t position = 0;  // of the next call
  bool opening = false;
  std::optional<client::PendingCall> call;
  std::deque<Clock::time_point> due;  // open loop: arrivals that wait
  // Counts sessions: an answer that comes for an earlier one is of no use.
  uint64_t life = 0;
  bool ended = false;
};

Engine::Engine(const std::vector<Scenario>& scenarios, EngineOptions options,
               std::function<void(const Second&, const Record&)> progress)
    : scenarios_(scenarios),
      options_(std::move(options)),
      progress_(std::move(progress)),
      random_(options_.seed) {
  client::ClientOptions own = options_.client;
  own.own_connection = true;
  for (int i = 0; i < options_.connections; ++i) clients_.emplace_back(options_.target, own);
  std::vector<double> weights;
  for (const Scenario& scenario : scenarios_) weights.push_back(scenario.weight);
  std::discrete_distribution<size_t> pick(weights.begin(), weights.end());
  for (int i = 0; i < options_.sessions; ++i) {
    User& user = *users_.emplace_back(std::make_unique<User>());
    user.scenario = pick(random_);
    user.variant = static_cast<int>(random_() % static_cast<uint64_t>(options_.variants));
    user.client = static_cast<size_t>(i % options_.connections);
  }
}

Engine::~Engine() = default;

void Engine::MakeReferences() {
  for (const Scenario& scenario : scenarios_) {
    auto& variants = references_.emplace_back(options_.variants);
    for (int variant = 0; variant < options_.variants; ++variant) {
      client::Session session = clients_[0].OpenSession();
      for (size_t i = 0; i < scenario.size(); ++i) {
        variants[variant].push_back(Payload(session.Run(scenario.call(i).requests[variant])));
      }
      session.Close();
    }
  }
}

Record Engine::Run() {
  MakeReferences();
  start_ = Clock::now();
  record_.steady = start_ + options_.ramp;
  end_ = record_.steady + options_.duration;
  for (size_t i = 0; i < users_.size(); ++i) {
    At(start_ + options_.ramp * i / users_.size(), [this, i] {
      begun_ = i + 1;
      Begin(*users_[i]);
    });
  }
  At(start_ + std::chrono::seconds(1), [this] { Tick(); });
  At(record_.steady, [this] { memory_.push_back(ResidentBytes(options_.server_pid)); });
  if (options_.rate > 0) {
    arrival_due_ = start_;
    Arrive();
  }
  At(end_, [this] {
    memory_.push_back(ResidentBytes(options_.server_pid));
    for (const auto& user : users_) {
      if (user->session.has_value() && !user->call.has_value()) EndSession(*user);
    }
  });
  Loop();
  for (const auto& user : users_) {
    record_.unserved += user->due.size() + (user->call.has_value() ? 1 : 0);
  }
  const size_t window = std::clamp<size_t>(memory_.size() / 3, 1, kMemorySeconds);
  const std::span<const int64_t> memory(memory_);
  record_.server_bytes_at_start = Mean(memory.first(window));
  record_.server_bytes_at_end = Mean(memory.last(window));
  record_.measured_seconds = std::chrono::duration<double>(options_.duration).count();
  return std::move(record_);
}

// Every call has a deadline, so that this ends.
void Engine::Loop() {
  while (!Ending() || in_flight_ > 0 || sessions_ > 0) {
    for (const auto& work : inbox_->Take(timers_.empty() ? end_ : timers_.top().at)) work();
    while (!timers_.empty() && timers_.top().at <= Clock::now()) {
      const auto due = timers_.top().work;
      timers_.pop();
      due();
    }
  }
}

std::deque<std::function<void()>> Engine::Inbox::Take(Clock::time_point until) {
  std::unique_lock lock(mutex_);
  // A while at least: with nothing else due the end of the last calls is waited for.
  posted_.wait_until(lock, std::max(until, Clock::now() + std::chrono::microseconds(50)),
                     [this] { return !work_.empty(); });
  return std::exchange(work_, {});
}

void Engine::Inbox::Post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  work_.push_back(std::move(work));
  posted_.notify_one();
}

void Engine::At(Clock::time_point time, std::function<void()> work) {
  timers_.push({time, order_++, std::move(work)});
}

// Opens the user's next session.
void Engine::Begin(User& user) {
  if (Ending() || user.opening || user.session.has_value()) return;
  user.opening = true;
  user.position = 0;
  ++user.life;
  ++in_flight_;
  client::SessionOptions options;
  options.lease = options_.lease;
  const Clock::time_point due = Clock::now();
  clients_[user.client].StartOpenSession(
      options, [this, inbox = inbox_, &user, due](const client::Error* error,
                                                  std::optional<client::Session> session) {
        const Clock::time_point answered = Clock::now();
        // Shared: what is posted must be copyable.
        auto opened = std::make_shared<std::optional<client::Session>>(std::move(session));
        inbox->Post([this, &user, due, answered, opened, reason = ReasonOf(error),
                     text = std::string(error == nullptr ? "" : error->what())] {
          --in_flight_;
          user.opening = false;
          if (!opened->has_value()) {
            record_.Error("open", reason, text);
            At(Clock::now() + kAfterError, [this, &user] { Begin(user); });
            return;
          }
          record_.Answer("open", due, answered);
          user.session = std::move(*opened);
          ++sessions_;
          Next(user);
        });
      });
}

// What a user does when it waits for no answer.
void Engine::Next(User& user) {
  const Scenario& scenario = scenarios_[user.scenario];
  if (Ending() || user.position == scenario.size()) {
    EndSession(user);
    return;
  }
  if (user.position < scenario.setup.size()) {
    Send(user, Clock::now());
    return;
  }
  if (options_.rate > 0) {
    if (user.due.empty()) return;
    const Clock::time_point due = user.due.front();
    user.due.pop_front();
    Send(user, due);
    return;
  }
  const Call& call = scenario.call(user.position);
  if (call.think.count() == 0) {
    Send(user, Clock::now());
    return;
  }
  const Clock::time_point due =
      Clock::now() + (call.exponential ? Exponential(random_, call.think) : call.think);
  At(due, [this, &user, due, life = user.life] {
    if (user.life != life || !user.session.has_value() || user.call.has_value()) return;
    Ending() ? EndSession(user) : Send(user, due);
  });
}

// Open loop: hands the arrival to the users in turn, and schedules the next.
void Engine::Arrive() {
  const Clock::time_point now = Clock::now();
  while (arrival_due_ <= now && arrival_due_ < end_) {
    User& user = *users_[next_arrival_++ % std::max<size_t>(begun_, 1)];
    user.due.push_back(arrival_due_);
    const bool idle = user.session.has_value() && !user.call.has_value() &&
                      user.position >= scenarios_[user.scenario].setup.size();
    if (idle) Next(user);
    double rate = options_.rate;
    if (arrival_due_ < record_.steady) {
      const double part = std::chrono::duration<double>(arrival_due_ - start_) /
                          std::chrono::duration<double>(options_.ramp);
      rate *= std::max(part, 0.01);
    }
    const std::chrono::nanoseconds mean(static_cast<int64_t>(1e9 / rate));
    arrival_due_ += options_.poisson ? Exponential(random_, mean) : mean;
  }
  if (arrival_due_ < end_) At(arrival_due_, [this] { Arrive(); });
}

void Engine::Send(User& user, Clock::time_point due) {
  const Call& call = scenarios_[user.scenario].call(user.position);
  v1::RunRequest request = call.requests[user.variant];
  record_.bytes_sent += request.ByteSizeLong();
  ++in_flight_;
  const auto report = [this, inbox = inbox_, &user, due, life = user.life](
                          const client::Error* error, v1::RunResponse response) {
    const Clock::time_point answered = Clock::now();
    inbox->Post([this, &user, due, life, answered, reason = ReasonOf(error),
                 text = std::string(error == nullptr ? "" : error->what()),
                 response = std::move(response)] {
      --in_flight_;
      if (user.life == life) Answered(user, due, answered, reason, text, response);
    });
  };
  if (request.commands_size() > 1) {
    user.call = user.session->Start(std::move(request), report);
  } else {
    user.call = user.session->Start(std::move(*request.mutable_commands(0)),
                                    [report](const client::Error* error, v1::CommandResult result) {
                                      v1::RunResponse response;
                                      *response.add_results() = std::move(result);
                                      report(error, std::move(response));
                                    });
  }
  if (options_.die > 0 && std::uniform_real_distribution<double>()(random_) < options_.die) {
    const auto delay = std::chrono::microseconds(random_() % kDeath.count());
    At(Clock::now() + delay, [this, &user, life = user.life] { Die(user, life); });
  }
}

void Engine::Answered(User& user, Clock::time_point due, Clock::time_point answered,
                      const std::string& reason, const std::string& text,
                      const v1::RunResponse& response) {
  const Scenario& scenario = scenarios_[user.scenario];
  const std::string name = scenario.name + "/" + scenario.call(user.position).name;
  user.call.reset();
  if (!reason.empty()) {
    record_.Error(name, reason, text);
    EndSession(user);
    return;
  }
  record_.Answer(name, due, answered);
  record_.bytes_received += response.ByteSizeLong();
  Verify(user, response);
  ++user.position;
  Next(user);
}

void Engine::Verify(const User& user, const v1::RunResponse& response) {
  const std::string& want = references_[user.scenario][user.variant][user.position];
  if (want.empty()) return;
  const std::string got = Payload(response);
  ++record_.verified;
  if (got == want) {
    ++record_.exact;
  } else if (!Close(got, want, options_.tolerance)) {
    const Scenario& scenario = scenarios_[user.scenario];
    record_.Wrong(scenario.name + "/" + scenario.call(user.position).name + ", call " +
                  std::to_string(user.position) + " of a session with data " +
                  std::to_string(user.variant));
  }
}

// The client is gone: its call is given up, its session stays behind, and another client comes.
void Engine::Die(User& user, uint64_t life) {
  if (user.life != life || !user.session.has_value()) return;
  if (user.call.has_value()) user.call->Cancel();
  user.call.reset();
  user.session->Release();
  user.session.reset();
  --sessions_;
  ++record_.died;
  ++user.life;
  Begin(user);
}

// Closes the session; the user begins anew, unless the run ends.
void Engine::EndSession(User& user) {
  if (!user.session.has_value()) return;
  ++in_flight_;
  const Clock::time_point due = Clock::now();
  // A session on which a call failed may be gone: that it cannot be closed is no second error.
  const bool whole = Ending() || user.position == scenarios_[user.scenario].size();
  user.session->StartClose([this, inbox = inbox_, &user, due, whole](const client::Error* error) {
    const Clock::time_point answered = Clock::now();
    inbox->Post([this, &user, due, answered, whole, reason = ReasonOf(error)] {
      --in_flight_;
      --sessions_;
      if (reason.empty()) {
        record_.Answer("close", due, answered);
      } else if (whole) {
        record_.Error("close", reason, "");
      }
      At(Clock::now() + (whole ? Clock::duration(0) : Clock::duration(kAfterError)),
         [this, &user] { Begin(user); });
    });
  });
  user.session.reset();
}

void Engine::Tick() {
  Second& second = record_.EndSecond(std::chrono::duration<double>(Clock::now() - start_).count());
  second.sessions = sessions_;
  second.in_flight = in_flight_;
  second.server_bytes = ResidentBytes(options_.server_pid);
  if (Clock::now() > record_.steady) memory_.push_back(second.server_bytes);
  progress_(second, record_);
  if (!Ending()) At(Clock::now() + std::chrono::seconds(1), [this] { Tick(); });
}

int64_t ResidentBytes(int pid) {
  if (pid == 0) return 0;
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6)) << 10;
  }
  return 0;
}

}  // namespace gradwire::bench
