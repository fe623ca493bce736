#include "exec/compute_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <vector>

#include "core/parallel.h"

namespace gradwire {
namespace {

TEST(ComputePool, RunsWhatIsQueuedBeforeItStops) {
  std::atomic<int> ran{0};
  {
    ComputePool pool(2);
    for (int i = 0; i < 100; ++i) pool.Post([&] { ++ran; });
  }
  EXPECT_EQ(ran, 100);
}

TEST(ComputePool, ACommandThatRunsAloneHasAllCpus) {
  std::atomic<int> threads{0};
  {
    ComputePool pool(4);
    pool.Post([&] { threads = Threads(); });
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
      pool.Post([&] {
        all_run.arrive_and_wait();
        pool.ShareCpus();
        mine = Threads();
        all_done.arrive_and_wait();
      });
    }
  }
  for (const int mine : threads) EXPECT_EQ(mine, 1);
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

}  // namespace
}  // namespace gradwire
