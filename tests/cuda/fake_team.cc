// A block of threads of the device that the CPU plays: each runs until it waits for the others.
// They take turns, now in the one order and now in the other, so that one that does not wait where
// it must reads what is not there yet, or what is not there any more.
#include <ucontext.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <vector>

#include "backend/cuda/launch.h"

namespace gradwire::cuda {
namespace {

constexpr size_t kStackBytes = size_t{256} << 10;
constexpr const char* kEnd = "the end";

class Block : public Meeting {
 public:
  void Run(const std::function<void(const Team&)>& run) {
    run_ = &run;
    for (int rank = 0; rank < kTeam; ++rank) Start(rank);
    for (bool forth = true; places_[0] != kEnd; forth = !forth) {
      for (int i = 0; i < kTeam; ++i) Resume(forth ? i : kTeam - 1 - i);
      RequireOnePlace();
    }
    places_.fill(nullptr);
  }

  void Wait(int rank, const char* what) override {
    places_[static_cast<size_t>(rank)] = what;
    swapcontext(&threads_[static_cast<size_t>(rank)].context, &scheduler_);
  }

 private:
  struct Thread {
    ucontext_t context{};
    std::vector<char> stack = std::vector<char>(kStackBytes);
  };

  void Start(int rank) {
    Thread& thread = threads_[static_cast<size_t>(rank)];
    getcontext(&thread.context);
    thread.context.uc_stack = {.ss_sp = thread.stack.data(), .ss_flags = 0, .ss_size = kStackBytes};
    thread.context.uc_link = &scheduler_;
    makecontext(&thread.context, &Block::Enter, 0);
  }
  void Resume(int rank) {
    running_ = this;
    rank_ = rank;
    swapcontext(&scheduler_, &threads_[static_cast<size_t>(rank)].context);
  }
  static void Enter() {
    Block& block = *running_;
    const int rank = block.rank_;
    (*block.run_)(Team(rank, block));
    block.places_[static_cast<size_t>(rank)] = kEnd;
  }
  // On a GPU they would wait for ever, or go on too early.
  void RequireOnePlace() const {
    for (const char* place : places_) {
      if (std::strcmp(place, places_[0]) == 0) continue;
      std::fprintf(stderr, "threads of a block are at %s and at %s\n", places_[0], place);
      std::abort();
    }
  }

  inline static Block* running_ = nullptr;
  int rank_ = 0;  // of the running thread
  const std::function<void(const Team&)>* run_ = nullptr;
  ucontext_t scheduler_{};
  std::array<Thread, kTeam> threads_;
  std::array<const char*, kTeam> places_{};
};

}  // namespace

void RunTeam(const std::function<void(const Team&)>& run) {
  static std::mutex mutex;
  static Block block;
  const std::lock_guard lock(mutex);  // one at a time
  block.Run(run);
}

}  // namespace gradwire::cuda
