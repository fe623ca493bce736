#include "exec/compute_pool.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <iterator>
#include <latch>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "core/parallel.h"

namespace gradwire {
namespace {

using namespace std::chrono_literals;

// Runs the task beside all others.
void Post(ComputePool& pool, std::function<void()> task) {
  std::make_shared<Strand>(pool)->Post(std::move(task));
}

std::ptrdiff_t ThreadsOfTheProcess() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

TEST(ComputePool, RunsWhatIsQueuedBeforeItStops) {
  std::atomic<int> ran{0};
  {
    ComputePool pool(2);
    for (int i = 0; i < 100; ++i) Post(pool, [&] { ++ran; });
  }
  EXPECT_EQ(ran, 100);
}

TEST(ComputePool, ACommandThatRunsAloneHasAllCpus) {
  std::atomic<int> threads{0};
  {
    ComputePool pool(4);
    Post(pool, [&] { threads = Threads(); });
  }
  EXPECT_EQ(threads, 4);
}

TEST(ComputePool, CommandsThatRunTogetherShareTheCpus) {
  std::vector<int> threads(4);
  {
    std::latch all_run(4);
    std::latch all_done(4);
    ComputePool pool(4);
    for (int& mine : threads) {
      Post(pool, [&] {
        all_run.arrive_and_wait();
        pool.ShareCpus();
        mine = Threads();
        all_done.arrive_and_wait();
      });
    }
  }
  for (const int mine : threads) EXPECT_EQ(mine, 1);
}

TEST(ComputePool, TheLongestTaskIsToldOfWhileItRunsAndOnceAfterwards) {
  std::latch begun(1);
  std::latch told(1);
  ComputePool pool(2);
  Post(pool, [&] {
    begun.count_down();
    told.wait();
  });
  begun.wait();
  const auto first = pool.TakeLongest();
  EXPECT_GT(first.count(), 0);
  const auto second = pool.TakeLongest();
  EXPECT_GT(second, first) << "it still runs";
  told.count_down();
  while (!pool.idle()) std::this_thread::yield();
  EXPECT_GT(pool.TakeLongest(), second);
  EXPECT_EQ(pool.TakeLongest().count(), 0);
}

// More threads than CPUs would sleep between any two loops, for good.
TEST(ComputePool, OneOfTheWorkersThatRestKeepsItsTeam) {
  if (AvailableCpus() == 1) GTEST_SKIP() << "this machine has one CPU to offer";
  ComputePool pool(4);
  const std::ptrdiff_t without = ThreadsOfTheProcess();
  std::latch both_run(2);
  std::latch both_done(2);
  for (int i = 0; i < 2; ++i) {
    Post(pool, [&] {
      both_run.arrive_and_wait();
      pool.ShareCpus();
      EXPECT_EQ(Threads(), 2);
      ParallelFor(2, 1, [](int64_t, int64_t) {});
      both_done.arrive_and_wait();
    });
  }
  both_done.wait();
  const auto until = std::chrono::steady_clock::now() + 10s;
  while (ThreadsOfTheProcess() > without + 1 && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_LE(ThreadsOfTheProcess(), without + 1);
}

// Threads of a worker's task, just after one of `tiny` ran on this thread.
int ThreadsBeside(const std::shared_ptr<Strand>& tiny, const std::shared_ptr<Strand>& strand) {
  std::promise<int> threads;
  tiny->Post([] {}, [] { return true; });
  strand->Post([&] { threads.set_value(Threads()); });
  return threads.get_future().get();
}

TEST(ComputePool, TinyTasksOfOtherStrandsHaveACpu) {
  ComputePool pool(4);
  const auto strand = std::make_shared<Strand>(pool);
  const auto other = std::make_shared<Strand>(pool);
  EXPECT_EQ(ThreadsBeside(strand, strand), 4) << "of the same";
  const auto until = std::chrono::steady_clock::now() + 10s;
  int threads = 0;  // the worker may come late
  do {
    threads = ThreadsBeside(other, strand);
  } while (threads == 4 && std::chrono::steady_clock::now() < until);
  EXPECT_EQ(threads, 3);
  std::promise<int> later;
  strand->Post([&] {
    std::this_thread::sleep_for(5ms);
    pool.ShareCpus();
    later.set_value(Threads());
  });
  EXPECT_EQ(later.get_future().get(), 4);
}

// Puts the threads of a loop onto one CPU, which they may leave.
void Crowd(int threads) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
#pragma omp parallel num_threads(threads)
  {
    sched_setaffinity(0, sizeof(one), &one);
    sched_setaffinity(0, sizeof(allowed), &allowed);
  }
}

TEST(LoopScope, ThreadsOnOneCpuPart) {
  const int threads = std::min(4, AvailableCpus());
  if (threads == 1) GTEST_SKIP() << "this machine has one CPU to offer";
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  std::vector<int> cpus(static_cast<size_t>(threads));
  size_t apart = 0;
  for (int i = 0; i < 50; ++i) {  // the system may move a thread at any time
    Crowd(threads);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    SetThreads(threads);
    ParallelFor(threads, 1,
                [&](int64_t begin, int64_t) { cpus[static_cast<size_t>(begin)] = sched_getcpu(); });
    apart += std::set(cpus.begin(), cpus.end()).size() == cpus.size() ? 1 : 0;
  }
  EXPECT_GE(apart, 25u);
  std::atomic<int> bound{0};
#pragma omp parallel num_threads(threads)
  {
    cpu_set_t now;
    if (sched_getaffinity(0, sizeof(now), &now) != 0 || CPU_EQUAL(&now, &allowed) == 0) ++bound;
  }
  EXPECT_EQ(bound, 0) << "threads may go where they like afterwards";
}

TEST(Strand, RunsTasksInOrderAndOneAtATime) {
  std::vector<int> order;
  std::atomic<int> running{0};
  {
    std::latch done(1);
    ComputePool pool(4);
    const auto strand = std::make_shared<Strand>(pool);
    for (int i = 0; i < 1000; ++i) {
      strand->Post([&, i] {
        EXPECT_EQ(running.fetch_add(1), 0);
        order.push_back(i);
        running.fetch_sub(1);
        if (i == 999) done.count_down();
      });
    }
    done.wait();
  }
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(Strand, ATaskBehindAnotherHasItsWorkerAndAllCpus) {
  std::set<std::thread::id> workers;
  std::set<int> threads;
  {
    ComputePool pool(4);
    std::latch all_wait(1);
    const auto strand = std::make_shared<Strand>(pool);
    strand->Post([&] { all_wait.wait(); });
    for (int i = 0; i < 1000; ++i) {
      strand->Post([&] {
        workers.insert(std::this_thread::get_id());
        threads.insert(Threads());
      });
    }
    all_wait.count_down();
  }
  EXPECT_EQ(workers.size(), 1u);
  EXPECT_EQ(threads, std::set{4});
}

TEST(Strand, RunsATaskWhereItCameFromWhenToldToAndIdle) {
  const std::thread::id caller = std::this_thread::get_id();
  std::thread::id first, second, third;
  {
    std::latch second_runs(1), go_on(1);
    ComputePool pool(2);
    const auto strand = std::make_shared<Strand>(pool);
    strand->Post(
        [&] {
          first = std::this_thread::get_id();
          pool.ShareCpus();
          EXPECT_EQ(Threads(), 1);
        },
        [] { return true; });
    strand->Post(
        [&] {
          second = std::this_thread::get_id();
          second_runs.count_down();
          go_on.wait();
        },
        [] { return false; });
    second_runs.wait();
    strand->Post([&] { third = std::this_thread::get_id(); },
                 [] {
                   ADD_FAILURE() << "asked while another task runs";
                   return true;
                 });
    go_on.count_down();
  }
  EXPECT_EQ(first, caller);
  EXPECT_NE(second, caller);
  EXPECT_NE(third, caller);
}

}  // namespace
}  // namespace gradwire
