#include "session/session_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "backend/cpu/cpu_backend.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using std::chrono::milliseconds;
using testing::ErrorOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<std::unique_ptr<Backend>> Cpu() {
  std::vector<std::unique_ptr<Backend>> backends;
  backends.push_back(std::make_unique<CpuBackend>());
  return backends;
}

TEST(SessionStore, OpensFindsAndCloses) {
  ComputePool pool(1);
  SessionStore store(Cpu(), pool, {});
  const auto a = store.Open({});
  const auto b = store.Open({.device = "cpu"});
  EXPECT_NE(a->id(), b->id());
  EXPECT_EQ(a->id().size(), 32u);
  EXPECT_EQ(store.Find(a->id()), a);
  store.Close(a->id());
  EXPECT_THAT(ErrorOf([&] { store.Find(a->id()); }), StartsWith("SESSION_NOT_FOUND"));
  EXPECT_EQ(store.Find(b->id()), b);
}

TEST(SessionStore, AnUnusedSessionExpires) {
  ComputePool pool(1);
  SessionStore store(Cpu(), pool, {});
  const std::string id = store.Open({.lease = milliseconds(1)})->id();
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_THAT(ErrorOf([&] { store.Find(id); }), StartsWith("SESSION_EXPIRED"));
  EXPECT_THAT(ErrorOf([&] { store.Find(id); }), StartsWith("SESSION_EXPIRED"));
}

TEST(SessionStore, RefusesWhatItCannotGive) {
  ComputePool pool(1);
  SessionStore store(Cpu(), pool, {.max_sessions = 1});
  EXPECT_THAT(ErrorOf([&] { store.Open({.device = "cuda:7"}); }),
              ::testing::AllOf(StartsWith("DEVICE_NOT_FOUND"), HasSubstr("it has: cpu")));
  EXPECT_THAT(ErrorOf([&] { store.Open({.lease = std::chrono::hours(1000)}); }),
              StartsWith("INVALID_ARGUMENT"));
  EXPECT_THAT(ErrorOf([&] { store.Open({.max_bytes = -1}); }), StartsWith("INVALID_ARGUMENT"));
  const auto only = store.Open({});
  EXPECT_THAT(ErrorOf([&] { store.Open({}); }), StartsWith("QUOTA_EXCEEDED"));
  store.Close(only->id());
  store.Drain();
  EXPECT_THAT(ErrorOf([&] { store.Open({}); }), StartsWith("SHUTTING_DOWN"));
}

TEST(Strand, RunsTasksInOrderAndOneAtATime) {
  ComputePool pool(4);
  const auto strand = std::make_shared<Strand>(pool);
  std::vector<int> order;
  std::atomic<int> running{0};
  std::atomic<bool> done{false};
  for (int i = 0; i < 1000; ++i) {
    strand->Post([&, i] {
      EXPECT_EQ(running.fetch_add(1), 0);
      order.push_back(i);
      running.fetch_sub(1);
      if (i == 999) done = true;
    });
  }
  while (!done) std::this_thread::yield();
  ASSERT_EQ(order.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(ComputePool, RunsWhatIsQueuedBeforeItStops) {
  std::atomic<int> ran{0};
  {
    ComputePool pool(2);
    for (int i = 0; i < 100; ++i) pool.Post([&] { ++ran; });
  }
  EXPECT_EQ(ran, 100);
}

}  // namespace
}  // namespace gradwire
