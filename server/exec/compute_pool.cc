#include "exec/compute_pool.h"

#include <omp.h>

#include <algorithm>
#include <utility>

#include "core/parallel.h"

namespace gradwire {
namespace {

// A worker that has rested for so long gives its team up if another worker has one.
constexpr std::chrono::milliseconds kKeepsTeam(20);

// For so long after a tiny task of a thread that is no worker a CPU is left to such: loops on all
// CPUs, whose threads wait for each other without sleeping, made one in thirty take 4 ms.
constexpr std::chrono::milliseconds kMoment(1);

}  // namespace

thread_local ComputePool::Worker* ComputePool::current_ = nullptr;

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

// A worker that has a team is the first choice, so that a task that runs alone finds one.
void ComputePool::QueueLocked(std::shared_ptr<Strand> strand) {
  queue_.push_back(std::move(strand));
  Worker* chosen = nullptr;
  for (const auto& worker : workers_) {
    if (!worker->idle || (chosen != nullptr && !worker->has_team)) continue;
    chosen = worker.get();
    if (chosen->has_team) break;
  }
  if (chosen == nullptr) return;
  chosen->idle = false;
  chosen->wake.notify_one();
}

void ComputePool::ShareCpus() {
  if (current_ == nullptr) return SetThreads(1);
  const int running = std::max(1, running_.load(std::memory_order_relaxed));
  const int share = std::max(1, (cpus_ - (OthersRunHere() ? 1 : 0)) / running);
  if (share > 1 && !current_->has_team) TakeTeam(*current_);
  SetThreads(share);
}

void ComputePool::RunsHere(const Strand& strand) {
  last_here_at_.store(Clock::now().time_since_epoch(), std::memory_order_relaxed);
  last_here_.store(&strand, std::memory_order_relaxed);
}

bool ComputePool::OthersRunHere() {
  const Strand* last = last_here_.load(std::memory_order_relaxed);
  if (last == nullptr || last == current_->strand) return false;
  const Clock::duration at = last_here_at_.load(std::memory_order_relaxed);
  if (Clock::now().time_since_epoch() - at < kMoment) return true;
  // Forgotten, or each operator of a session that is alone since would read the clock.
  last_here_.compare_exchange_strong(last, nullptr, std::memory_order_relaxed);
  return false;
}

void ComputePool::TakeTeam(Worker& self) {
  const std::lock_guard lock(mutex_);
  self.has_team = true;
  ++teams_;
  for (const auto& worker : workers_) {
    if (worker->idle && worker->has_team) worker->wake.notify_one();
  }
}

// OpenMP keeps a team of threads for each thread that had one. Once all of them are more than the
// CPUs, they sleep between any two loops, for as long as they are: a training step of a small model
// then takes 1.4 times as long. So only the workers that need a team keep one.
void ComputePool::Rest(Worker& self, std::unique_lock<std::mutex>& lock) {
  self.idle = true;
  const auto woken = [&] { return stopping_ || !self.idle; };
  const auto spare = [&] { return self.has_team && teams_ > 1; };
  self.wake.wait(lock, [&] { return woken() || spare(); });
  const bool unwanted = !self.wake.wait_for(lock, kKeepsTeam, woken) && spare();
  self.idle = false;
  if (!unwanted) return;
  self.has_team = false;
  --teams_;
  lock.unlock();
  omp_pause_resource(omp_pause_soft, omp_get_initial_device());
  lock.lock();
}

// Whether the strand has more to do is seen, and the worker no longer counted, in one go: whoever
// starts the next task finds as many running as there are.
void ComputePool::RunFirst(Worker& self, std::unique_lock<std::mutex>& lock) {
  const std::shared_ptr<Strand> strand = std::move(queue_.front());
  queue_.pop_front();
  std::function<void()> task = std::move(strand->tasks_.front());
  running_.fetch_add(1, std::memory_order_relaxed);
  self.strand = strand.get();
  self.began = Clock::now();
  lock.unlock();
  ShareCpus();
  task();
  task = nullptr;  // what it holds may be the last of a session: not under the lock
  lock.lock();
  running_.fetch_sub(1, std::memory_order_relaxed);
  longest_ = std::max(longest_, Clock::now() - *self.began);
  self.began.reset();
  strand->tasks_.pop_front();
  if (!strand->tasks_.empty()) queue_.push_back(strand);  // this worker sees to it that it runs
}

void ComputePool::Work(Worker& self) {
  current_ = &self;
  std::unique_lock lock(mutex_);
  while (true) {
    if (!queue_.empty()) {
      RunFirst(self, lock);
    } else if (stopping_) {
      return;
    } else {
      Rest(self, lock);
    }
  }
}

void Strand::Post(std::function<void()> task, const std::function<bool()>& here) {
  const auto self = shared_from_this();  // the task may hold the last of the session
  std::unique_lock lock(pool_.mutex_);
  tasks_.push_back(std::move(task));
  if (tasks_.size() > 1) return;
  if (here == nullptr) return pool_.QueueLocked(self);
  lock.unlock();
  const bool runs_here = here();
  lock.lock();
  if (!runs_here) return pool_.QueueLocked(self);
  task = std::move(tasks_.front());
  lock.unlock();
  pool_.RunsHere(*this);
  task();
  task = nullptr;
  lock.lock();
  tasks_.pop_front();
  if (!tasks_.empty()) pool_.QueueLocked(self);
}

}  // namespace gradwire
