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

TEST(SessionStore, ASessionBelongsToItsTenant) {
  ComputePool pool(1);
  SessionStore store(Cpu(), pool, {});
  const std::string id = store.Open({}, "a")->id();
  EXPECT_EQ(store.Find(id, "a")->id(), id);
  EXPECT_THAT(ErrorOf([&] { store.Find(id, "b"); }), StartsWith("SESSION_NOT_FOUND"));
  EXPECT_THAT(ErrorOf([&] { store.Close(id, "b"); }), StartsWith("SESSION_NOT_FOUND"));
  EXPECT_THAT(ErrorOf([&] { store.Open({.id = id}, "b"); }), StartsWith("INVALID_ARGUMENT"));
  EXPECT_EQ(store.Open({.id = id}, "a"), store.Find(id, "a"));
  store.Close(id, "a");
  EXPECT_EQ(store.Open({.id = id}, "b")->id(), id);
}

TEST(SessionStore, CountsSessionsOfATenantAndOfAll) {
  ComputePool pool(1);
  SessionStore store(Cpu(), pool,
                     {.max_sessions = 3, .tenant = {.max_sessions = 2}, .tenants = {{"big", {}}}});
  const auto a = store.Open({}, "a");
  const auto b = store.Open({}, "a");
  EXPECT_THAT(ErrorOf([&] { store.Open({}, "a"); }), HasSubstr("max_tenant_sessions: 1 asked"));
  const auto c = store.Open({}, "big");
  EXPECT_THAT(ErrorOf([&] { store.Open({}, "big"); }), HasSubstr("max_sessions: 1 asked"));
  store.Close(a->id(), "a");
  store.Open({}, "a");
}

TEST(Quota, BooksWithAllOrNone) {
  const auto server = std::make_shared<Quota>(100, "server");
  const auto tenant = std::make_shared<Quota>(0, "tenant", server);
  Quota one(60, "session", tenant);
  Quota two(60, "session", tenant);
  one.Take(60);
  EXPECT_THAT(ErrorOf([&] { one.Take(1); }), HasSubstr("session: 1 asked for, 60 of 60 in use"));
  EXPECT_THAT(ErrorOf([&] { two.Take(50); }), HasSubstr("server: 50 asked for, 60 of 100 in use"));
  EXPECT_EQ(two.used(), 0);
  EXPECT_EQ(tenant->used(), 60);
  EXPECT_THAT(ErrorOf([&] { two.Take(INT64_MAX); }), StartsWith("QUOTA_EXCEEDED"));
  one.Give(60);
  EXPECT_EQ(server->used(), 0);
  two.Take(50);
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
