#include "session/session_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(SessionStore, ASessionAtWorkDoesNotExpire) {
  ComputePool pool(1);
  SessionStore store(Cpu(), pool, {});
  const auto session = store.Open({.lease = milliseconds(1)});
  std::atomic<bool> stop{false};
  session->Post([&] {
    while (!stop) std::this_thread::yield();
  });
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(store.Find(session->id()), session);
  stop = true;
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

}  // namespace
}  // namespace gradwire
