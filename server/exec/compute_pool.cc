#include "exec/compute_pool.h"

#include <algorithm>
#include <utility>

#include "core/parallel.h"

namespace gradwire {
namespace {

thread_local bool is_worker = false;

}  // namespace

ComputePool::ComputePool(int cpus) : cpus_(cpus) {
  for (int i = 0; i < cpus; ++i) {
    Worker& worker = *workers_.emplace_back(std::make_unique<Worker>());
    worker.thread = std::thread([this, &worker] { Work(worker); });
  }
}

ComputePool::~ComputePool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& worker : workers_) worker->wake.notify_one();
  }
  for (const auto& worker : workers_) worker->thread.join();
}

// The first worker that is idle is woken, so that one session's commands come to the same worker:
// each that has computed with several threads has an OpenMP team, and when there are more such
// threads than CPUs, OpenMP lets them sleep between any two loops.
void ComputePool::Post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(task));
  for (const auto& worker : workers_) {
    if (!worker->idle) continue;
    worker->idle = false;
    worker->wake.notify_one();
    return;
  }
}

bool ComputePool::idle() const {
  const std::lock_guard lock(mutex_);
  return queue_.empty() && running_.load(std::memory_order_relaxed) == 0;
}

std::chrono::nanoseconds ComputePool::TakeLongest() {
  const std::lock_guard lock(mutex_);
  Clock::duration longest = std::exchange(longest_, Clock::duration(0));
  for (const auto& worker : workers_) {
    if (worker->began.has_value()) longest = std::max(longest, Clock::now() - *worker->began);
  }
  return longest;
}

void ComputePool::ShareCpus() const {
  const int running = std::max(1, running_.load(std::memory_order_relaxed));
  SetThreads(is_worker ? std::max(1, cpus_ / running) : 1);
}

void ComputePool::Work(Worker& self) {
  is_worker = true;
  std::unique_lock lock(mutex_);
  while (true) {
    while (queue_.empty()) {
      if (stopping_) return;
      self.idle = true;
      self.wake.wait(lock, [&] { return stopping_ || !self.idle; });
      self.idle = false;
    }
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    running_.fetch_add(1, std::memory_order_relaxed);
    self.began = Clock::now();
    lock.unlock();
    ShareCpus();
    task();
    task = nullptr;  // what it holds may be the last of a session: not under the lock
    lock.lock();
    running_.fetch_sub(1, std::memory_order_relaxed);
    longest_ = std::max(longest_, Clock::now() - *self.began);
    self.began.reset();
  }
}

void Strand::Post(std::function<void()> task, const std::function<bool()>& here) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    if (tasks_.size() > 1) return;
  }
  if (here != nullptr && here()) {
    const auto self = shared_from_this();  // the task may hold the last of the session
    RunOne();
  } else {
    pool_.Post([self = shared_from_this()] { self->RunOne(); });
  }
}

void Strand::RunOne() {
  std::function<void()> task;
  {
    // The task stays in the queue while it runs, so that Post does not start another.
    const std::lock_guard lock(mutex_);
    task = std::move(tasks_.front());
  }
  task();
  task = nullptr;
  const std::lock_guard lock(mutex_);
  tasks_.pop_front();
  if (!tasks_.empty()) pool_.Post([self = shared_from_this()] { self->RunOne(); });
}

}  // namespace gradwire
