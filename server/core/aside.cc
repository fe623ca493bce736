#include "core/aside.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "core/parallel.h"

namespace gradwire {
namespace {

class Worker {
 public:
  // Never ends: work may be started as long as there is any thread. Null where the process has one
  // CPU.
  static Worker* Instance() {
    static auto* const worker = AvailableCpus() > 1 ? new Worker : nullptr;
    return worker;
  }

  // False, and `work` is untouched, where it has other work.
  bool Take(const Aside* owner, absl::AnyInvocable<void()>& work) {
    const std::lock_guard lock(mutex_);
    if (owner_ != nullptr) return false;
    owner_ = owner;
    work_ = std::move(work);
    changed_.notify_all();
    return true;
  }

  void WaitFor(const Aside* owner) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return owner_ != owner; });
  }

 private:
  Worker() {
    std::thread([this] { Work(); }).detach();
  }

  [[noreturn]] void Work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return owner_ != nullptr; });
      absl::AnyInvocable<void()> work = std::move(work_);
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
      owner_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  const Aside* owner_ = nullptr;  // of the work that waits or runs
  absl::AnyInvocable<void()> work_;
};

}  // namespace

void Aside::Start(absl::AnyInvocable<void()> work) {
  Worker* const worker = Worker::Instance();
  if (worker == nullptr || !worker->Take(this, work)) work();
}

void Aside::Wait() {
  if (Worker* const worker = Worker::Instance()) worker->WaitFor(this);
}

}  // namespace gradwire
