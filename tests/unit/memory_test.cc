// Quotas, the caching allocator and the CPU backend's accounts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "backend/caching_allocator.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/quota.h"
#include "backend/shared_memory.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::ErrorOf;
using ::testing::HasSubstr;

constexpr int kThreads = 4;

void InThreads(const std::function<void()>& work) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work);
}

TEST(QuotaTest, BooksUpToTheLimit) {
  Quota quota(100);
  quota.Take(60);
  quota.Take(40);
  EXPECT_EQ(quota.used(), 100);
  try {
    quota.Take(1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.reason().name, "QUOTA_EXCEEDED");
    EXPECT_EQ(error.message(), "max_session_bytes: 1 asked for, 100 of 100 in use");
    EXPECT_EQ(error.metadata().at("limit"), "100");
    EXPECT_EQ(error.metadata().at("used"), "100");
    EXPECT_EQ(error.metadata().at("requested"), "1");
  }
  EXPECT_EQ(quota.used(), 100);
  quota.Give(60);
  quota.Take(60);
}

TEST(QuotaTest, RemembersThePeak) {
  Quota quota(100);
  EXPECT_EQ(quota.peak(), 0);
  quota.Take(60);
  quota.Give(50);
  quota.Take(20);
  EXPECT_EQ(quota.peak(), 60);
  EXPECT_THROW(quota.Take(90), Error);
  EXPECT_EQ(quota.peak(), 60);
  quota.Take(70);
  EXPECT_EQ(quota.peak(), 100);
}

TEST(QuotaTest, WhatIsCopiedCountsOnce) {
  const auto above = std::make_shared<Quota>(120, "above");
  Quota quota(100, "session", above);
  const auto expect_used = [&](int64_t used) {
    EXPECT_EQ(quota.used(), used);
    EXPECT_EQ(above->used(), used);
  };
  quota.Take(80);
  {
    const Quota::CopyScope scope(quota);
    quota.Take(50);
    quota.Take(30);
    std::thread([&] {
      quota.Take(15);  // no copy
      EXPECT_THAT(ErrorOf([&] { quota.Take(10); }), HasSubstr("session: 10 asked for, 95 of 100"));
      quota.Give(5);
    }).join();
    expect_used(90);
    quota.Give(80);  // what was copied
    expect_used(90);
  }
  expect_used(90);
  EXPECT_EQ(quota.peak(), 95);
  quota.Give(90);
  expect_used(0);
}

TEST(QuotaTest, WhatIsHeldBesideItsCopyCountsTwice) {
  const auto above = std::make_shared<Quota>(100, "above");
  Quota quota(100, "session", above);
  quota.Take(80);
  {
    const Quota::CopyScope scope(quota);
    quota.Take(80);
    quota.Give(50);
  }
  EXPECT_EQ(quota.used(), 110);
  EXPECT_EQ(above->used(), 110);
  quota.Give(30);
  EXPECT_EQ(quota.used(), 80);
}

TEST(QuotaTest, ACopyThatIsGivenUpLeavesNothing) {
  Quota quota(100);
  quota.Take(80);
  {
    const Quota::CopyScope scope(quota);
    quota.Take(50);
    quota.Take(30);
    quota.Give(30);  // as of memory that there was not
    quota.Give(50);
    EXPECT_EQ(quota.used(), 80);
  }
  EXPECT_EQ(quota.used(), 80);
  quota.Give(80);
  EXPECT_EQ(quota.used(), 0);
}

TEST(QuotaTest, NoLimit) {
  Quota quota(0);
  quota.Take(int64_t{1} << 60);
  EXPECT_EQ(quota.used(), int64_t{1} << 60);
}

TEST(QuotaTest, ThreadsNeverBookMoreThanTheLimit) {
  Quota quota(8);
  std::atomic<int64_t> held{0};
  std::atomic<int64_t> most{0};
  InThreads([&] {
    for (int i = 0; i < 20000; ++i) {
      try {
        quota.Take(3);
      } catch (const Error&) {
        continue;
      }
      const int64_t now = held += 3;
      int64_t before = most;
      while (before < now && !most.compare_exchange_weak(before, now)) {
      }
      held -= 3;
      quota.Give(3);
    }
  });
  EXPECT_LE(most, 8);
  EXPECT_EQ(quota.used(), 0);
}

// Memory that counts what is out, and ends at `capacity`.
struct FakeSource {
  size_t capacity = SIZE_MAX;
  size_t out = 0;
  int requests = 0;

  CachingAllocator::Source source() {
    return {[this](size_t bytes) -> void* {
              ++requests;
              if (out + bytes > capacity) return nullptr;
              out += bytes;
              return std::malloc(bytes);
            },
            [this](void* block, size_t bytes) {
              out -= bytes;
              std::free(block);
            }};
  }
};

TEST(CachingAllocatorTest, SizeClassesWasteAtMostAQuarter) {
  size_t previous = 0;
  for (size_t bytes = 0; bytes < 100000; ++bytes) {
    const size_t block = CachingAllocator::BlockSize(bytes);
    ASSERT_GE(block, bytes);
    ASSERT_GE(block, previous);
    ASSERT_EQ(CachingAllocator::BlockSize(block), block);
    ASSERT_LE(block, std::max<size_t>(64, bytes + bytes / 4));
    previous = block;
  }
  EXPECT_EQ(CachingAllocator::BlockSize(0), 64u);
  EXPECT_EQ(CachingAllocator::BlockSize(65), 80u);
}

TEST(CachingAllocatorTest, ReusesFreedBlocksOfTheClass) {
  FakeSource fake;
  CachingAllocator allocator(fake.source(), 1 << 20);
  void* block = allocator.Allocate(1024);
  allocator.Free(block, 1024);
  EXPECT_EQ(allocator.stats().cached_bytes, 1024);
  EXPECT_EQ(allocator.Allocate(1024), block);
  EXPECT_EQ(fake.requests, 1);
  void* other = allocator.Allocate(2048);
  EXPECT_EQ(fake.requests, 2);
  EXPECT_EQ(allocator.stats().live_bytes, 3072);
  EXPECT_EQ(allocator.stats().cached_bytes, 0);
  EXPECT_EQ(allocator.stats().system_allocations, 2);
  allocator.Free(block, 1024);
  allocator.Free(other, 2048);
}

TEST(CachingAllocatorTest, KeepsNoMoreThanTheCap) {
  FakeSource fake;
  {
    CachingAllocator allocator(fake.source(), 2048);
    std::vector<void*> blocks;
    for (int i = 0; i < 5; ++i) blocks.push_back(allocator.Allocate(1024));
    for (void* block : blocks) allocator.Free(block, 1024);
    EXPECT_EQ(allocator.stats().cached_bytes, 2048);
    EXPECT_EQ(fake.out, 2048u);
    allocator.ReleaseCache();
    EXPECT_EQ(fake.out, 0u);
    allocator.Free(allocator.Allocate(64), 64);
  }
  EXPECT_EQ(fake.out, 0u);
}

TEST(CachingAllocatorTest, EmptiesTheCacheBeforeItGivesUp) {
  FakeSource fake{.capacity = 4096};
  CachingAllocator allocator(fake.source(), 1 << 20);
  allocator.Free(allocator.Allocate(2048), 2048);
  void* block = allocator.Allocate(4096);
  EXPECT_EQ(allocator.stats().cached_bytes, 0);
  EXPECT_EQ(ErrorOf([&] { allocator.Allocate(64); }),
            "OUT_OF_MEMORY: out of memory: 64 bytes asked for, 4096 in use");
  EXPECT_EQ(allocator.stats().live_bytes, 4096);
  allocator.Free(block, 4096);
}

TEST(CachingAllocatorTest, LiveAndCachedBlocksStayUnderTheLimit) {
  FakeSource fake;
  CachingAllocator allocator(fake.source(), 1 << 20, 4096);
  allocator.Free(allocator.Allocate(2048), 2048);
  void* block = allocator.Allocate(4096);
  EXPECT_EQ(fake.out, 4096u);
  EXPECT_EQ(ErrorOf([&] { allocator.Allocate(64); }),
            "OUT_OF_MEMORY: out of memory: 64 bytes asked for, 4096 in use");
  allocator.Free(block, 4096);
}

TEST(CachingAllocatorTest, WhatWasNotWantedForAWhileGoesBack) {
  FakeSource fake;
  CachingAllocator allocator(fake.source(), 1 << 20);
  std::vector<void*> blocks;
  for (int i = 0; i < 5; ++i) blocks.push_back(allocator.Allocate(1024));
  for (void* block : blocks) allocator.Free(block, 1024);
  allocator.ReleaseIdle(1024);
  EXPECT_EQ(allocator.stats().cached_bytes, 5 * 1024) << "they were in use a moment ago";
  void* one = allocator.Allocate(1024);
  void* other = allocator.Allocate(1024);
  allocator.Free(one, 1024);
  allocator.ReleaseIdle(1024);
  EXPECT_EQ(allocator.stats().cached_bytes, 1024) << "three were not wanted";
  EXPECT_EQ(fake.out, 2048u);
  allocator.Free(other, 1024);
  for (int i = 0; i < 10; ++i) {
    allocator.Free(allocator.Allocate(1024), 1024);
    allocator.ReleaseIdle(1024);
  }
  EXPECT_EQ(allocator.stats().cached_bytes, 1024) << "one is wanted again and again";
  const int requests = fake.requests;
  allocator.Free(allocator.Allocate(1024), 1024);
  EXPECT_EQ(fake.requests, requests);
  allocator.ReleaseIdle(1024);
  allocator.ReleaseIdle(1024);
  EXPECT_EQ(fake.out, 0u);
  allocator.Free(allocator.Allocate(896), 896);
  for (int i = 0; i < 3; ++i) allocator.ReleaseIdle(1024);
  EXPECT_EQ(fake.out, 896u) << "too small to be given back";
}

TEST(CachingAllocatorTest, ThreadsShareNoBlock) {
  FakeSource fake;
  CachingAllocator allocator(fake.source(), 1 << 16);
  std::atomic<int> next{1};
  InThreads([&] {
    const int mark = next++;
    for (int i = 0; i < 5000; ++i) {
      void* block = allocator.Allocate(256);
      std::memset(block, mark, 256);
      for (int k = 0; k < 256; ++k) ASSERT_EQ(static_cast<char*>(block)[k], mark);
      allocator.Free(block, 256);
    }
  });
  EXPECT_EQ(allocator.stats().live_bytes, 0);
}

TEST(CpuBackendTest, LargeBlocksGoBack) {
  CpuBackend backend;
  const auto stream = backend.NewStream(std::make_shared<Quota>(0));
  for (const size_t bytes : {0u, 1u, 100u, 1u << 16, 1u << 20, 3u << 20, (5u << 20) + 1}) {
    const BufferPtr buffer = stream->Allocate(bytes);
    std::memset(buffer->data(), 1, bytes);
    const auto address = reinterpret_cast<uintptr_t>(buffer->data());
    EXPECT_EQ(address % (bytes >= 2u << 20 ? 2u << 20 : 64u), 0u) << bytes;
  }
  EXPECT_GE(backend.memory().cached_bytes, 9 << 20);
  backend.ReleaseIdle();
  backend.ReleaseIdle();
  EXPECT_LT(backend.memory().cached_bytes, 1 << 20);
  EXPECT_EQ(backend.memory().live_bytes, 0);
}

TEST(CpuBackendTest, RefusesMoreThanTheMachineHas) {
  CpuBackend backend;
  const auto quota = std::make_shared<Quota>(0);
  const auto stream = backend.NewStream(quota);
  const std::string error = ErrorOf([&] { stream->Allocate(size_t{1} << 42); });
  EXPECT_EQ(error.substr(0, error.find(':')), "OUT_OF_MEMORY");
  EXPECT_EQ(quota->used(), 0);
}

TEST(CpuBackendTest, BuffersAreAlignedAndBooked) {
  CpuBackend backend;
  auto quota = std::make_shared<Quota>(1 << 20);
  const std::unique_ptr<Stream> stream = backend.NewStream(quota);
  for (const size_t bytes : {0, 1, 100, 5000}) {
    const BufferPtr buffer = stream->Allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 64, 0u);
    EXPECT_EQ(buffer->bytes(), bytes);
    EXPECT_EQ(quota->used(), static_cast<int64_t>(CachingAllocator::BlockSize(bytes)));
  }
  EXPECT_EQ(quota->used(), 0);
  EXPECT_THROW(stream->Allocate(2 << 20), Error);
  EXPECT_EQ(quota->used(), 0);
}

TEST(CpuBackendTest, BuffersOutliveStreamAndBackend) {
  auto quota = std::make_shared<Quota>(0);
  BufferPtr buffer;
  {
    CpuBackend backend;
    buffer = backend.NewStream(quota)->Allocate(1000);
  }
  std::memset(buffer->data(), 1, 1000);
  buffer.reset();
  EXPECT_EQ(quota->used(), 0);
}

TEST(SharedArenaTest, LargeBlocksLieInTheSegmentWhileItHasRoom) {
  constexpr size_t kBlock = SharedArena::kSmallestBlock;
  CpuBackend backend;
  auto quota = std::make_shared<Quota>(0);
  const std::unique_ptr<Stream> stream = backend.NewStream(quota);
  auto arena = dynamic_cast<Shareable&>(*stream).Share(2 * kBlock);
  const auto offset = [&](const BufferPtr& buffer) { return arena->OffsetOf(buffer->data()); };
  EXPECT_FALSE(offset(stream->Allocate(kBlock / 2)).has_value());
  BufferPtr first = stream->Allocate(kBlock);
  const BufferPtr second = stream->Allocate(kBlock);
  EXPECT_EQ(offset(first), 0u);
  EXPECT_EQ(offset(second), kBlock);
  EXPECT_FALSE(offset(stream->Allocate(kBlock)).has_value());  // full
  first.reset();
  EXPECT_EQ(offset(stream->Allocate(kBlock)), 0u);
  EXPECT_EQ(quota->used(), static_cast<int64_t>(2 * kBlock));  // what it took stays booked
  EXPECT_EQ(backend.memory().live_bytes, static_cast<int64_t>(2 * kBlock));
}

TEST(SharedArenaTest, BooksNothingPastTheQuotaAndGivesAllBack) {
  constexpr size_t kBlock = SharedArena::kSmallestBlock;
  CpuBackend backend;
  auto quota = std::make_shared<Quota>(static_cast<int64_t>(kBlock));
  BufferPtr buffer;
  {
    const std::unique_ptr<Stream> stream = backend.NewStream(quota);
    dynamic_cast<Shareable&>(*stream).Share(4 * kBlock);
    buffer = stream->Allocate(kBlock);
    EXPECT_THROW(stream->Allocate(kBlock), Error);
    EXPECT_EQ(quota->used(), static_cast<int64_t>(kBlock));
  }
  std::memset(buffer->data(), 1, kBlock);  // the segment lives as long as its last array
  buffer.reset();
  EXPECT_EQ(quota->used(), 0);
  EXPECT_EQ(backend.memory().live_bytes, 0);
}

}  // namespace
}  // namespace gradwire
