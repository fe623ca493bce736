// Commands that come again as recorded work, on a device that the CPU plays: what is launched as a
// whole gives the bits of what is traced, and where nothing can be recorded plans run as before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backend/quota.h"
#include "tests/cuda/fake_device.h"
#include "tests/unit/repeat_bench.h"

namespace gradwire {
namespace {

using ::testing::ElementsAre;
using testing::ErrorOf;
using testing::FakeDriver;
using testing::FakeGpu;
using testing::RepeatBench;
using ::testing::StartsWith;

struct GpuOwner {
  FakeGpu gpu;
};

class ReplayTest : public GpuOwner, public RepeatBench, public ::testing::Test {
 protected:
  explicit ReplayTest(const SessionOptions& options = {.seed = 7, .max_plans = 4})
      : RepeatBench(gpu.backend(), options) {}

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
  int64_t ReplaysOf(const std::string& key) {
    const CachedCommandPtr command = cached().commands().Find(key);
    return command == nullptr || command->replay == nullptr ? 0 : command->replay->replayed();
  }
  static Request Drop(const std::vector<std::string>& names) {
    return {"drop", [names](Transaction& t, const std::vector<Tensor>&) {
              t.Delete(names, false);
              return std::vector<NamedItem>();
            }};
  }
  // Binds `name`, a view of an array that nothing else keeps.
  static Request Bind(const std::string& key, const std::string& op, const std::string& name,
                      const std::vector<float>& x) {
    return {key,
            [op, name](Transaction& t, const std::vector<Tensor>& given) {
              t.Forward({.nodes = {Node(op, {"x"}, "y"), Node("Exp", {"y"}, "z"),
                                   Node("Reshape", {"z", "dims"}, name)},
                         .feeds = {{"x", given[0]}},
                         .outputs = {name}});
              return std::vector<NamedItem>();
            },
            {x}};
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

TEST_F(ReplayTest, FeedsAreReadFromOnePlace) {
  const std::vector<NodeDef> nodes = {Node("Tanh", {"x"}, "y"), Node("ReduceSum", {"y"}, "s"),
                                      Node("Mul", {"y", "s"}, "out")};
  std::vector<Tensor> held;  // so that what comes in lies elsewhere each time
  for (int i = 0; i < 10; ++i) {
    held.push_back(Array(cached(), std::vector<float>(static_cast<size_t>(i) + 1)));
    held.push_back(Array(cached(), {1, 2, 3}));
    Both(Evaluation("mul", nodes, {1, 2, static_cast<float>(i)}));
  }
  EXPECT_EQ(ReplaysOf("mul"), 6);
  EXPECT_EQ(driver().graphs(), 1);
}

TEST_F(ReplayTest, WhatAClientHoldsStaysAsItIs) {
  PutInts("dims", {1, 2});
  for (int i = 0; i < 8; ++i) {
    const auto f = static_cast<float>(i);
    Both(Bind("a", "Neg", "a", {1, f}));
    Both(Bind("b", "Tanh", "b", {f, 3}));  // in the memory that `a` was computed in
    const Request keep{"keep", [i](Transaction& t, const std::vector<Tensor>&) {
                         t.Copy("a", "a" + std::to_string(i % 3));
                         return std::vector<NamedItem>();
                       }};
    Both({"keep" + std::to_string(i), keep.verbs});
  }
  Both(Drop({"a0", "a1", "a2"}));
  for (int i = 0; i < 10; ++i) {
    Both(Bind("a", "Neg", "a", {1, 2}));
    Both(Bind("b", "Tanh", "b", {2, 3}));
  }
  EXPECT_GT(ReplaysOf("a"), 3);
  EXPECT_GT(ReplaysOf("b"), 3);
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

TEST_F(ReplayTest, AStepBetweenRecordingsMayRefuse) {
  Put("w", {1, 2, 3, 4}, true);
  PutInts("i", {0, 3});
  const Request step{
      "gather",
      [](Transaction& t, const std::vector<Tensor>& given) {
        auto fetched =
            t.Forward({.nodes = {Node("Mul", {"w", "x"}, "y"), Node("Gather", {"y", "i"}, "z"),
                                 Node("Mul", {"z", "z"}, "zz"), Node("ReduceSum", {"zz"}, "loss")},
                       .feeds = {{"x", given[0]}},
                       .outputs = {"loss"},
                       .fetch = {"loss"}})
                .fetched;
        t.Backward({.roots = {"loss"}});
        t.Step({.optimizer = Adam{.lr = 0.125}, .zero_grad = true});
        return fetched;
      },
      {{1, 2, 3, 4}}};
  for (int i = 0; i < 10; ++i) Both(step);
  EXPECT_GT(ReplaysOf("gather"), 2);
  const int64_t before = ReplaysOf("gather");
  // The same array with other elements, as an in-place update would leave.
  PutInts("i", {0, 9});
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Both(step));
  PutInts("i", {1, 2});
  for (int i = 0; i < 8; ++i) Both(step);
  EXPECT_GT(ReplaysOf("gather"), before);
}

class SmallReplayTest : public ReplayTest {
 protected:
  SmallReplayTest() : ReplayTest({.max_bytes = 6 << 20, .seed = 7, .max_plans = 4}) {}
};

// Two copies of the parameter and its gradient fit, with all that a recording keeps they do not.
TEST_F(SmallReplayTest, WhereThereIsNoRoomForItNothingIsRecorded) {
  Put("w", std::vector<float>(1 << 17, 0.5f), true);
  const Request step{"sgd", [](Transaction& t, const std::vector<Tensor>&) {
                       t.Forward({.nodes = {Node("Mul", {"w", "w"}, "y"), Node("Tanh", {"y"}, "z"),
                                            Node("ReduceSum", {"z"}, "loss")},
                                  .outputs = {"loss"}});
                       t.Backward({.roots = {"loss"}});
                       t.Step({.optimizer = Sgd{.lr = 0.125}, .zero_grad = true});
                       return std::vector<NamedItem>();
                     }};
  for (int i = 0; i < 12; ++i) Both(step);
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
