// Commands that come again as recorded work, on a device that the CPU plays: when they are recorded
// and launched, and that where nothing can be recorded plans run as before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backend/quota.h"
#include "tests/cuda/fake_device.h"
#include "tests/device/replay_bench.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;
using testing::ErrorOf;
using testing::FakeDriver;
using testing::FakeGpu;
using testing::ReplayBench;
using ::testing::StartsWith;

struct GpuOwner {
  FakeGpu gpu;
};

class ReplayTest : public GpuOwner, public ReplayBench, public ::testing::Test {
 protected:
  explicit ReplayTest(const SessionOptions& options = {.seed = 7, .max_plans = 4})
      : ReplayBench(gpu.backend(), options) {}

  FakeDriver& driver() { return gpu.driver(); }
  // How many graphs each of `runs` of the request launched.
  std::vector<int> LaunchesOf(const Request& request, int runs) {
    std::vector<int> launches;
    for (int i = 0; i < runs; ++i) {
      const int before = driver().graph_launches();
      Both(request);
      launches.push_back(driver().graph_launches() - before);
    }
    return launches;
  }
};

TEST_F(ReplayTest, ATrainingStepGoesBackAndForthBetweenTwoGraphs) {
  Put("w", {1, 2, 3}, true);
  // Two traces, a first run from each of three addresses, two recordings, then replays.
  EXPECT_THAT(LaunchesOf(TrainingStep({1, -2, 0.5f}), 12),
              ElementsAre(0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_EQ(driver().graphs(), 2);
  EXPECT_EQ(ReplaysOf("train"), 5);
}

TEST_F(ReplayTest, ASpoiltRecordingIsRunPlainly) {
  Put("w", {1, 2, 3}, true);
  for (int i = 0; i < 5; ++i) Both(TrainingStep({1, 2, 3}));
  driver().SpoilNextCapture();
  EXPECT_TRUE(Both(TrainingStep({1, 2, 3})));
  EXPECT_EQ(driver().graph_launches(), 0);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(Both(TrainingStep({1, 2, static_cast<float>(i)})));
  EXPECT_GT(ReplaysOf("train"), 2);
}

TEST_F(ReplayTest, WhatFailsAgainAndAgainIsNotTriedForEver) {
  Put("w", {1, 2, 3}, true);
  for (int i = 0; i < 24; ++i) {
    driver().SpoilNextCapture();
    Both(TrainingStep({1, 2, 3}));
  }
  EXPECT_EQ(driver().graphs(), 0);
  EXPECT_EQ(driver().captures(), 3);
}

TEST_F(ReplayTest, ForgottenPlansLeaveNothing) {
  Put("w", {1, 2, 3}, true);
  for (int i = 0; i < 10; ++i) Both(TrainingStep({1, 2, 3}));
  EXPECT_GT(driver().graphs(), 0);
  EXPECT_GT(cached().quota().used(), traced().quota().used());
  cached().commands().Clear();
  EXPECT_EQ(driver().graphs(), 0);
  EXPECT_EQ(cached().quota().used(), traced().quota().used());
  Both(TrainingStep({1, 2, 3}));
}

class PlainRepeatTest : public ReplayTest {
 protected:
  PlainRepeatTest() : ReplayTest({.seed = 7, .max_plans = 4, .plans = {.record = false}}) {}
};

TEST(CaptureTest, NobodyWaitsForAllQueuesAmidOne) {
  constexpr size_t kMiB = size_t{1} << 20;
  FakeGpu gpu(8 * kMiB);
  const auto one = gpu.backend().NewStream(std::make_shared<Quota>(0));
  const auto two = gpu.backend().NewStream(std::make_shared<Quota>(0));
  one->Allocate(4 * kMiB);  // cached from now on
  const auto capture = two->NewCapture();
  capture->Begin();
  // The capture itself does without; another waits for its end.
  EXPECT_THAT(ErrorOf([&] { capture->stream().Allocate(6 * kMiB); }), StartsWith("OUT_OF_MEMORY"));
  std::string error;
  std::thread other([&] { error = ErrorOf([&] { one->Allocate(6 * kMiB); }); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  capture->End()->Launch();
  other.join();
  EXPECT_EQ(error, "no error");
}

TEST(CaptureTest, RecordedWorkRunsWhenItIsLaunchedAndRefusesTheHost) {
  FakeGpu gpu;
  const auto stream = gpu.backend().NewStream(std::make_shared<Quota>(0));
  const auto capture = stream->NewCapture();
  const BufferPtr memory = capture->stream().Allocate(4);
  const int one = 1;
  int read = 0;
  capture->Begin();
  capture->stream().Zero(memory->data(), 4);
  EXPECT_THAT(ErrorOf([&] { capture->stream().Download(*memory, &read, 4); }),
              StartsWith("INTERNAL: a download amid work that is recorded"));
  EXPECT_THAT(ErrorOf([&] { capture->stream().Upload(&one, *memory, 4); }), StartsWith("INTERNAL"));
  EXPECT_THAT(ErrorOf([&] { capture->stream().Synchronize(); }), StartsWith("INTERNAL"));
  EXPECT_THAT(ErrorOf([&] { capture->stream().CheckLater(*memory, 4, [](const void*) {}); }),
              StartsWith("INTERNAL: a check amid work that is recorded"));
  const auto recording = capture->End();
  for (int i = 0; i < 3; ++i) {
    stream->Upload(&one, *memory, 4);
    stream->Download(*memory, &read, 4);
    EXPECT_EQ(read, 1);
    recording->Launch();
    stream->Download(*memory, &read, 4);
    EXPECT_EQ(read, 0);
  }
}

TEST(CaptureTest, ChecksPutOffBetweenRecordingsAreTheStreams) {
  FakeGpu gpu;
  const auto stream = gpu.backend().NewStream(std::make_shared<Quota>(0));
  const auto capture = stream->NewCapture();
  const BufferPtr memory = capture->stream().Allocate(4);
  capture->stream().Zero(memory->data(), 4);
  const int64_t before = stream->host_accesses();
  const auto refuse = [](const void* found) {
    if (*static_cast<const int*>(found) == 0) throw Error(reason::kInvalidArgument, "a zero");
  };
  capture->stream().CheckLater(*memory, 4, refuse);
  EXPECT_EQ(ErrorOf([&] { stream->FinishChecks(); }), "INVALID_ARGUMENT: a zero");
  stream->FinishChecks();
  stream->CheckLater(*memory, 4, refuse);
  EXPECT_GT(stream->host_accesses(), before);
  stream->ForgetChecks();
  stream->FinishChecks();
}

// What one capture has let go of, another takes; it is given back with the last of them.
TEST(CaptureTest, CapturesOfAStreamShareMemory) {
  FakeGpu gpu;
  const auto quota = std::make_shared<Quota>(0);
  const auto stream = gpu.backend().NewStream(quota);
  auto one = stream->NewCapture();
  auto two = stream->NewCapture();
  BufferPtr held = one->stream().Allocate(1000);
  const void* const first = held->data();
  const BufferPtr other = two->stream().Allocate(1000);
  EXPECT_NE(other->data(), first);
  held = nullptr;
  held = two->stream().Allocate(1000);
  EXPECT_EQ(held->data(), first);
  one = nullptr;
  EXPECT_EQ(two->stream().Allocate(1000)->data() == first, false);
  const int64_t used = quota->used();
  two = nullptr;
  held = nullptr;
  EXPECT_LT(quota->used(), used);
}

TEST_F(PlainRepeatTest, RecordingCanBeTurnedOff) {
  Put("w", {1, 2, 3}, true);
  for (int i = 0; i < 10; ++i) Both(TrainingStep({1, 2, 3}));
  EXPECT_EQ(driver().captures(), 0);
}

}  // namespace
}  // namespace gradwire
