#include "core/aside.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>
#include <vector>

#include "core/parallel.h"

namespace gradwire {
namespace {

TEST(Aside, IsDoneOnceItHasBeenWaitedFor) {
  for (int i = 0; i < 100; ++i) {
    bool is_done = false;
    Aside aside;
    aside.Start([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(10));
      is_done = true;
    });
    aside.Wait();
    EXPECT_TRUE(is_done);
  }
}

TEST(Aside, EndsWithItsOwner) {
  std::atomic<bool> is_done = false;
  {
    Aside aside;
    aside.Start([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      is_done = true;
    });
  }
  EXPECT_TRUE(is_done);
}

TEST(Aside, IsDoneAtOnceWhereTheThreadHasOtherWork) {
  if (AvailableCpus() == 1) GTEST_SKIP() << "this machine has one CPU to offer";
  const auto here = std::this_thread::get_id();
  std::thread::id first, second;
  std::promise<void> go;
  Aside busy, other;
  busy.Start([&] {
    first = std::this_thread::get_id();
    go.get_future().wait();
  });
  other.Start([&] { second = std::this_thread::get_id(); });
  EXPECT_EQ(second, here);
  go.set_value();
  busy.Wait();
  EXPECT_NE(first, here);
}

TEST(Aside, ServesManyThreads) {
  std::atomic<int> count = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 500; ++j) {
          int mine = 0;
          Aside aside;
          aside.Start([&] { ++mine; });
          aside.Wait();
          count += mine;
        }
      });
    }
  }
  EXPECT_EQ(count, 2000);
}

}  // namespace
}  // namespace gradwire
