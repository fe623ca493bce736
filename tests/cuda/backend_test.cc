// The host's side of the CUDA backend, on a device that the CPU plays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "backend/on_host.h"
#include "backend/quota.h"
#include "tests/cuda/fake_device.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using ::testing::AllOf;
using testing::ErrorOf;
using testing::FakeGpu;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr size_t kMiB = size_t{1} << 20;

std::shared_ptr<Quota> NoLimit() { return std::make_shared<Quota>(0); }

std::vector<char> Numbered(size_t bytes) {
  std::vector<char> data(bytes);
  std::iota(data.begin(), data.end(), char{0});
  return data;
}

TEST(CudaStreamTest, AnUploadDoesNotWaitAndTheSourceMayBeReusedAtOnce) {
  FakeGpu gpu;
  const auto stream = gpu.backend().NewStream(NoLimit());
  const std::vector<char> sent = Numbered(100);
  std::vector<char> source = sent;
  const BufferPtr buffer = stream->Allocate(source.size());
  stream->Upload(source.data(), *buffer, source.size());
  EXPECT_EQ(gpu.driver().waits(), 0);
  EXPECT_GT(gpu.driver().waiting(), 0u);
  std::fill(source.begin(), source.end(), 'x');
  std::vector<char> back(sent.size());
  stream->Download(*buffer, back.data(), back.size());
  EXPECT_EQ(back, sent);
}

TEST(CudaStreamTest, BoxesAreCopiedInQueueOrder) {
  FakeGpu gpu;
  const auto stream = gpu.backend().NewStream(NoLimit());
  const std::vector<int32_t> matrix = {0, 1, 2, 3, 4, 5};
  const BufferPtr from = stream->Allocate(sizeof(int32_t) * 6);
  const BufferPtr to = stream->Allocate(sizeof(int32_t) * 6);
  stream->Copy({{3, 2}, {1, 3}, {2, 1}}, sizeof(int32_t), from->data(), to->data());  // of junk
  stream->Zero(to->data(), to->bytes());
  stream->Upload(matrix.data(), *from, sizeof(int32_t) * 6);
  stream->Copy({{3, 2}, {1, 3}, {2, 1}}, sizeof(int32_t), from->data(), to->data());
  EXPECT_EQ(gpu.driver().waits(), 0);
  std::vector<int32_t> back(6);
  stream->Download(*to, back.data(), sizeof(int32_t) * 6);
  EXPECT_EQ(back, (std::vector<int32_t>{0, 3, 1, 4, 2, 5}));
}

TEST(CudaStreamTest, FreedBlocksGoToLaterWorkOfTheSameQueueAtOnceAndToOthersAfterItsEnd) {
  FakeGpu gpu;
  auto one = gpu.backend().NewStream(NoLimit());
  const auto two = gpu.backend().NewStream(NoLimit());
  const void* const block = one->Allocate(1000)->data();
  EXPECT_EQ(two->Allocate(1000)->data() == block, false);
  const BufferPtr again = one->Allocate(1000);
  EXPECT_EQ(again->data(), block);
  EXPECT_EQ(gpu.driver().waits(), 0);
  one = nullptr;  // the buffer keeps the queue
  EXPECT_NE(two->Allocate(1001)->data(), block);
}

TEST(CudaStreamTest, ASessionsEndLeavesItsMemoryToOthers) {
  FakeGpu gpu;
  const auto two = gpu.backend().NewStream(NoLimit());
  const void* const block = gpu.backend().NewStream(NoLimit())->Allocate(kMiB)->data();
  EXPECT_EQ(gpu.backend().memory().live_bytes, 0);
  EXPECT_GE(gpu.backend().memory().cached_bytes, static_cast<int64_t>(kMiB));
  const int64_t allocations = gpu.backend().memory().system_allocations;
  EXPECT_GT(allocations, 0);
  EXPECT_EQ(two->Allocate(kMiB)->data(), block);
  EXPECT_EQ(gpu.backend().memory().system_allocations, allocations);
}

TEST(CudaStreamTest, OutOfMemoryFreesWhatIsCachedFirstAndTheSessionLivesOn) {
  FakeGpu gpu(8 * kMiB);
  const auto one = gpu.backend().NewStream(NoLimit());
  const auto two = gpu.backend().NewStream(NoLimit());
  one->Allocate(4 * kMiB);
  two->Allocate(3 * kMiB);  // both are cached now, by queues that are not over
  const BufferPtr large = two->Allocate(7 * kMiB);
  EXPECT_EQ(gpu.driver().allocated_bytes(), 7 * kMiB);
  EXPECT_THAT(ErrorOf([&] { one->Allocate(4 * kMiB); }),
              AllOf(StartsWith("OUT_OF_MEMORY"), HasSubstr("4194304 bytes asked for"),
                    HasSubstr("7340032 in use")));
  EXPECT_EQ(one->quota()->used(), 0);
  const BufferPtr small = one->Allocate(kMiB / 2);
  EXPECT_NE(small->data(), nullptr);
}

TEST(CudaStreamTest, AnAnnouncedArrayIsCopiedBesideWhatComesLater) {
  FakeGpu gpu;
  const auto stream = gpu.backend().NewStream(NoLimit());
  const std::vector<char> data = Numbered(3 * kMiB);
  const BufferPtr from = stream->Allocate(data.size());
  stream->Upload(data.data(), *from, data.size());
  stream->Prefetch(from);
  const BufferPtr later = stream->Allocate(kMiB);
  stream->Zero(later->data(), later->bytes());
  std::vector<char> host(data.size());
  stream->Download(*from, host.data(), host.size());
  EXPECT_EQ(host, data);
  EXPECT_EQ(gpu.driver().waiting(), 1U);  // the later work
}

// An operator may write into an array that nobody else holds.
TEST(CudaStreamTest, AnAnnouncedArrayIsHeldWhileOthersHoldIt) {
  FakeGpu gpu;
  const auto quota = NoLimit();
  const auto stream = gpu.backend().NewStream(quota);
  BufferPtr from = stream->Allocate(kMiB);
  stream->Prefetch(from);
  EXPECT_EQ(from.use_count(), 2);
  stream->FinishChecks();
  EXPECT_EQ(from.use_count(), 2);
  std::vector<char> host(kMiB);
  stream->Download(*from, host.data(), host.size());
  EXPECT_EQ(from.use_count(), 1);
  stream->Prefetch(from);
  from = nullptr;
  EXPECT_GT(quota->used(), 0);
  stream->FinishChecks();
  EXPECT_EQ(quota->used(), 0);
}

TEST(CudaStreamTest, AnAnnouncementOfABrokenDeviceIsNoError) {
  FakeGpu gpu;
  const auto stream = gpu.backend().NewStream(NoLimit());
  const BufferPtr from = stream->Allocate(kMiB);
  gpu.driver().Break("an illegal address");
  EXPECT_NO_THROW(stream->Prefetch(from));
}

TEST(CudaStreamTest, ALimitOnTheDevicesMemoryHolds) {
  FakeGpu gpu(8 * kMiB, 2 * kMiB);
  const auto stream = gpu.backend().NewStream(NoLimit());
  const BufferPtr held = stream->Allocate(kMiB);
  EXPECT_THAT(ErrorOf([&] { stream->Allocate(2 * kMiB); }), StartsWith("OUT_OF_MEMORY"));
}

TEST(CudaStreamTest, BuffersOutliveStreamAndBackend) {
  auto gpu = std::make_unique<FakeGpu>();
  const auto quota = NoLimit();
  BufferPtr buffer = gpu->backend().NewStream(quota)->Allocate(1000);
  gpu = nullptr;
  EXPECT_GT(quota->used(), 0);
  buffer = nullptr;
  EXPECT_EQ(quota->used(), 0);
}

TEST(CudaStreamTest, OfABrokenDeviceFailsAndSaysWhy) {
  FakeGpu gpu;
  const auto stream = gpu.backend().NewStream(NoLimit());
  const BufferPtr buffer = stream->Allocate(100);
  EXPECT_EQ(gpu.backend().problem(), "");
  gpu.driver().Break("an illegal address");
  EXPECT_EQ(gpu.backend().problem(), "an illegal address");
  char byte = 0;
  EXPECT_EQ(ErrorOf([&] { stream->Download(*buffer, &byte, 1); }),
            "DEVICE_FAILED: an illegal address");
  EXPECT_EQ(ErrorOf([&] { stream->Synchronize(); }), "DEVICE_FAILED: an illegal address");
}

TEST(CudaStreamDeathTest, TheHostDoesNotTouchDeviceMemory) {
  FakeGpu gpu;
  const auto stream = gpu.backend().NewStream(NoLimit());
  const BufferPtr buffer = stream->Allocate(100);
  EXPECT_DEATH(*static_cast<volatile char*>(buffer->data()) = 1, "");
}

TEST(CudaBackendTest, DescribesTheDevice) {
  FakeGpu gpu(123);
  const DeviceDescription description = gpu.backend().Describe();
  EXPECT_EQ(gpu.backend().device().name(), "cuda:0");
  EXPECT_EQ(description.memory_bytes, 123);
  EXPECT_EQ(description.capability, "0.0");
}

}  // namespace
}  // namespace gradwire
