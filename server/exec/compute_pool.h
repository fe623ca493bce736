// The threads that compute, and the order of a session's commands.
#ifndef GRADWIRE_EXEC_COMPUTE_POOL_H_
#define GRADWIRE_EXEC_COMPUTE_POOL_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace gradwire {

// One worker a CPU. A command that runs alone gives its loops all CPUs; when several run, each gets
// its share, so that workers and their OpenMP teams together never exceed the CPUs. Thread-safe.
class ComputePool {
 public:
  explicit ComputePool(int cpus);
  // Runs what is queued, then stops.
  ~ComputePool();
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  void Post(std::function<void()> task);
  int cpus() const { return cpus_; }
  // Whether no task runs or waits.
  bool idle() const;
  // The longest time that a task took, or has taken so far, since the last call.
  std::chrono::nanoseconds TakeLongest();
  // Sets the calling worker's loop threads to its share of the CPUs, another thread's to one.
  // Called between operators too, since other commands come and go meanwhile.
  void ShareCpus() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Worker {
    std::condition_variable wake;
    bool idle = false;
    std::optional<Clock::time_point> began;  // the task that it runs
    std::thread thread;
  };
  void Work(Worker& self);

  const int cpus_;
  std::atomic<int> running_{0};
  mutable std::mutex mutex_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  Clock::duration longest_{0};
  std::vector<std::unique_ptr<Worker>> workers_;
};

// A first-in first-out queue of tasks that run one at a time on the pool; after each, other strands
// get their turn. Thread-safe; tasks keep the strand alive.
class Strand : public std::enable_shared_from_this<Strand> {
 public:
  explicit Strand(ComputePool& pool) : pool_(pool) {}
  // The calling thread runs the task itself where nothing else runs or waits and `here`, called as
  // a task would be, says so: to wake a worker takes longer than a tiny task.
  void Post(std::function<void()> task, const std::function<bool()>& here = nullptr);

 private:
  void RunOne();

  ComputePool& pool_;
  std::mutex mutex_;
  std::deque<std::function<void()>> tasks_;
};

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_COMPUTE_POOL_H_
