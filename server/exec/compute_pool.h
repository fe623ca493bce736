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

class Strand;

// One worker a CPU, for the tasks of strands. A command that runs alone gives its loops all CPUs;
// when several run, each gets its share, so that workers and their OpenMP teams together never
// exceed the CPUs. Where other threads run tiny tasks, these have one of the CPUs. Thread-safe.
class ComputePool {
 public:
  explicit ComputePool(int cpus);
  // Runs what is queued, then stops.
  ~ComputePool();
  ComputePool(const ComputePool&) = delete;
  ComputePool& operator=(const ComputePool&) = delete;

  int cpus() const { return cpus_; }
  // Whether no worker has a task and none waits.
  bool idle() const;
  // The longest time that a task took, or has taken so far, since the last call.
  std::chrono::nanoseconds TakeLongest();
  // Sets the calling worker's loop threads to its share of the CPUs, another thread's to one.
  // Called between operators too, since other commands come and go meanwhile.
  void ShareCpus();

 private:
  friend class Strand;
  using Clock = std::chrono::steady_clock;
  struct Worker {
    std::condition_variable wake;
    bool idle = false;
    bool has_team = false;                   // it has computed with several threads, and keeps them
    const Strand* strand = nullptr;          // whose task it runs
    std::optional<Clock::time_point> began;  // that task
    std::thread thread;
  };

  // Queues a strand whose first task is to run, and wakes a worker for it.
  void QueueLocked(std::shared_ptr<Strand> strand);
  void Work(Worker& self);
  void RunFirst(Worker& self, std::unique_lock<std::mutex>& lock);
  // Until the worker is woken, or has given up its team.
  void Rest(Worker& self, std::unique_lock<std::mutex>& lock);
  void TakeTeam(Worker& self);

  // Notes that a thread that is no worker runs a task of the strand.
  void RunsHere(const Strand& strand);
  // Whether that happened a moment ago for another strand than the calling worker's.
  bool OthersRunHere();

  static thread_local Worker* current_;  // null on threads that are no workers

  const int cpus_;
  std::atomic<int> running_{0};                    // workers that have a task
  std::atomic<const Strand*> last_here_{nullptr};  // to compare with
  std::atomic<Clock::duration> last_here_at_{};
  mutable std::mutex mutex_;  // of all strands too
  std::deque<std::shared_ptr<Strand>> queue_;
  bool stopping_ = false;
  int teams_ = 0;  // of workers
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
  friend class ComputePool;

  ComputePool& pool_;
  // With the pool's lock. The first one runs, or waits for a worker; it stays here, empty, while it
  // runs, so that no other is started.
  std::deque<std::function<void()>> tasks_;
};

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_COMPUTE_POOL_H_
