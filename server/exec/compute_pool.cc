#include "exec/compute_pool.h"

#include <algorithm>
#include <utility>

#include "core/parallel.h"

namespace gradwire {
namespace {

thread_local bool is_worker = false;

}  // namespace

ComputePool::ComputePool(int cpus) : cpus_(cpus) {
  for (int i = 0; i < cpus; ++i) workers_.emplace_back([this] { Work(); });
}

ComputePool::~ComputePool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ComputePool::Post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
}

bool ComputePool::idle() const {
  const std::lock_guard lock(mutex_);
  return queue_.empty() && running_.load(std::memory_order_relaxed) == 0;
}

void ComputePool::ShareCpus() const {
  const int running = std::max(1, running_.load(std::memory_order_relaxed));
  SetThreads(is_worker ? std::max(1, cpus_ / running) : 1);
}

void ComputePool::Work() {
  is_worker = true;
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    running_.fetch_add(1, std::memory_order_relaxed);
    lock.unlock();
    ShareCpus();
    task();
    task = nullptr;  // what it holds may be the last of a session: not under the lock
    lock.lock();
    running_.fetch_sub(1, std::memory_order_relaxed);
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
