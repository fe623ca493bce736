// Sessions on the device under test: what they refuse, when they wait, and what becomes of them
// when memory runs out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/on_host.h"
#include "backend/quota.h"
#include "exec/compute_pool.h"
#include "exec/host_fallback.h"
#include "graph/formula.h"
#include "graph/op.h"
#include "session/transaction.h"
#include "tests/ops/bench.h"
#include "tests/ops/device.h"
#include "tests/unit/error_of.h"
#include "tests/unit/request.h"
#include "tests/unit/session_bench.h"

namespace gradwire {
namespace {

using ::testing::AllOf;
using testing::Bench;
using testing::DeviceUnderTest;
using ::testing::ElementsAre;
using testing::ErrorOf;
using ::testing::HasSubstr;
using testing::MakeNode;
using ::testing::StartsWith;

bool IsGpu() { return DeviceUnderTest().device().type == DeviceType::kCuda; }

int64_t FallbacksOf(const OpDef& op) {
  const auto runs = HostFallbacks::Global().Read();
  const auto found = runs.find(&op);
  return found == runs.end() ? 0 : found->second;
}

class DeviceSessionTest : public ::testing::Test {
 protected:
  Bench bench_{[] {}, DeviceUnderTest()};
  const TraceScope scope_{bench_.trace()};
};

TEST_F(DeviceSessionTest, AnIndexOutOfRangeIsRefusedByItsValue) {
  const Value x = bench_.Make({3}, {1, 2, 3});
  const Value bad = bench_.Make({2}, {0, -4}, DType::kInt64);
  EXPECT_THAT(ErrorOf([&] { bench_.Read(Call("Gather", {x, bad})); }),
              AllOf(StartsWith("INVALID_ARGUMENT"), HasSubstr("index -4 is outside [-3, 3)")));
  const Value good = bench_.Make({2}, {0, -3}, DType::kInt64);
  EXPECT_THAT(bench_.Read(Call("Gather", {x, good})), ElementsAre(1, 1));
}

TEST_F(DeviceSessionTest, WhatIsRefusedLaterNamesItsCall) {
  const Value x = bench_.Make({3}, {1, 2, 3});
  const Value bad = bench_.Make({1}, {3}, DType::kInt64);
  const Value y = Call("Gather", {Exp(x), bad});
  y.node()->set_origin({.node = 7, .label = "pick"});
  EXPECT_THAT(ErrorOf([&] { bench_.Run({Exp(y)}); }), HasSubstr("node 7 'pick' (Gather): "));
}

TEST_F(DeviceSessionTest, AnyNumberOfChecksFits) {
  const Value x = bench_.Make({3}, {1, 2, 3});
  Value sum = x;
  for (int i = 0; i < 1000; ++i) {
    sum = sum + Call("Gather", {x, bench_.Make({1}, {1}, DType::kInt64)});
  }
  EXPECT_THAT(bench_.Read(sum), ElementsAre(2001, 2002, 2003));
}

TEST_F(DeviceSessionTest, ACheckThatEndsALaterCallNamesItsOwn) {
  const Value x = bench_.Make({3}, {1, 2, 3});
  Value sum = Call("Gather", {x, bench_.Make({1}, {3}, DType::kInt64)});
  sum.node()->set_origin({.node = 7, .label = "pick"});
  for (int i = 0; i < 1000; ++i) {
    const Value next = Call("Gather", {x, bench_.Make({1}, {1}, DType::kInt64)});
    next.node()->set_origin({.node = 8});
    sum = sum + next;
  }
  EXPECT_THAT(ErrorOf([&] { bench_.Run({sum}); }),
              StartsWith("INVALID_ARGUMENT: node 7 'pick' (Gather): index 3 is"));
}

TEST_F(DeviceSessionTest, OfAnEmptyArrayEachIndexIsRefusedAtOnce) {
  const Value empty = bench_.Make({0, 2}, {});
  const Value index = bench_.Make({1}, {0}, DType::kInt64);
  EXPECT_THAT(ErrorOf([&] { bench_.Run({Call("Gather", {empty, index})}); }),
              HasSubstr("index 0 is outside [-0, 0)"));
}

TEST_F(DeviceSessionTest, SumsOfHalvesAreRoundedOnce) {
  const Value ones = bench_.Make({1, 600}, std::vector<double>(600, 1), DType::kBfloat16);
  const Value y = Call("gradwire::MatMul", {ones, Transpose(ones, {1, 0})});
  EXPECT_THAT(bench_.Read(y), ElementsAre(600));  // past 256, bfloat16 cannot count in ones
}

TEST_F(DeviceSessionTest, WhatHasNoKernelRunsOnTheHostAndIsCounted) {
  const OpDef& op = Registry::Global().Latest("TfIdfVectorizer");
  const int64_t before = FallbacksOf(op);
  const Value x = bench_.Make({2}, {1, 2}, DType::kInt64);
  const Value y = Call("TfIdfVectorizer", {Concat({x, x + 1.0}, 0)},
                       {{"mode", std::string("TF")},
                        {"min_gram_length", int64_t{1}},
                        {"max_gram_length", int64_t{1}},
                        {"max_skip_count", int64_t{0}},
                        {"ngram_counts", std::vector<int64_t>{0}},
                        {"ngram_indexes", std::vector<int64_t>{0, 1}},
                        {"pool_int64s", std::vector<int64_t>{2, 3}}});
  EXPECT_THAT(bench_.Read(y * 3.0), ElementsAre(6, 3));
  EXPECT_EQ(FallbacksOf(op), before + (IsGpu() ? 1 : 0));
}

TEST_F(DeviceSessionTest, ElementTypesThatKernelsLackGoToTheHost) {
  const OpDef& cast = Registry::Global().Latest("Cast");
  const int64_t before = FallbacksOf(cast);
  const Value x = bench_.Make({3}, {1, -2, 0.5}, DType::kFloat32);
  const Value small = Cast(x, DType::kFloat8E4M3FN);
  EXPECT_THAT(bench_.Read(Cast(small, DType::kFloat64)), ElementsAre(1, -2, 0.5));
  EXPECT_EQ(FallbacksOf(cast), before + (IsGpu() ? 2 : 0));
}

TEST_F(DeviceSessionTest, ProductsOfFloat32AreExact) {
  const double fine = 1 + 0x1p-23;
  std::vector<double> elements(64 * 64);
  elements[0] = fine;
  const Value x = bench_.Make({64, 64}, elements, DType::kFloat32);
  const Value ones = Expand(bench_.Make({1}, {1}, DType::kFloat32), {64, 64});
  EXPECT_EQ(bench_.Read(MatMul(x, ones))[0], fine);
}

// What a GPU alone does: on a CPU a call returns when it has computed, and memory is the system's.
class GpuSessionTest : public DeviceSessionTest {
 protected:
  using Clock = std::chrono::steady_clock;

  void SetUp() override {
    if (!IsGpu()) GTEST_SKIP() << "on a GPU alone";
  }
  template <class F>
  static double SecondsOf(const F& f) {
    const auto start = Clock::now();
    f();
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  // Queues products one after the other, of matrices so large that one takes a while.
  void QueueLongWork() {
    Value product = matrix_;
    for (int i = 0; i < kProducts; ++i) product = MatMul(product, matrix_);
    bench_.Run({product});
  }
  // Until the queue is empty.
  double SecondsToFinish() {
    return SecondsOf([&] { bench_.stream().Synchronize(); });
  }
  void FindLongWork() {
    for (int64_t size = 128; size <= 16384; size *= 2) {
      matrix_ = Expand(bench_.Make({1}, {0.5}, DType::kFloat32), {size, size});
      QueueLongWork();  // with all that is done once
      SecondsToFinish();
      if (SecondsOf([&] { QueueLongWork(), SecondsToFinish(); }) > kLongSeconds) return;
    }
    FAIL() << "no product is large enough";
  }

  static constexpr int kProducts = 8;
  static constexpr double kLongSeconds = 0.1;
  Value matrix_;
};

TEST_F(GpuSessionTest, AStoppedRunLeavesNoCheckBehind) {
  int ops = 0;
  Bench bench([&] { ops == 1 ? throw Error(reason::kCancelled, "enough") : ++ops; },
              DeviceUnderTest());
  const TraceScope scope(bench.trace());
  const Value x = bench.Make({3}, {1, 2, 3});
  const Value bad = bench.Make({1}, {3}, DType::kInt64);
  EXPECT_THAT(ErrorOf([&] { bench.Run({Exp(Call("Gather", {x, bad}))}); }), HasSubstr("enough"));
  ops = -1;
  EXPECT_THAT(bench.Read(x + 1.0), ElementsAre(2, 3, 4));
}

TEST_F(GpuSessionTest, CommandsDoNotWaitForWhatTheyQueue) {
  ASSERT_NO_FATAL_FAILURE(FindLongWork());
  const double queueing = SecondsOf([&] { QueueLongWork(); });
  EXPECT_LT(queueing, SecondsToFinish() / 2);
}

TEST_F(GpuSessionTest, AFetchWaitsForWhatItFetches) {
  ASSERT_NO_FATAL_FAILURE(FindLongWork());
  QueueLongWork();
  const Value last = bench_.Make({2}, {1, 2}) + 1.0;
  EXPECT_THAT(bench_.Read(last), ElementsAre(2, 3));
  EXPECT_LT(SecondsToFinish(), kLongSeconds / 2);
}

TEST_F(GpuSessionTest, AnAnnouncedArrayIsFetchedBesideWhatCameLater) {
  ASSERT_NO_FATAL_FAILURE(FindLongWork());
  const Value early = bench_.Make({1 << 20}, {1, 2}, DType::kFloat32) + 1.0;
  bench_.Run({early});
  bench_.stream().Prefetch(early.tensor().buffer());
  QueueLongWork();
  Tensor host;
  const double fetching = SecondsOf([&] { host = OnHost(early.tensor(), bench_.stream()); });
  EXPECT_LT(fetching, SecondsToFinish());
  EXPECT_EQ(host.data<float>()[1], 3);
}

TEST_F(GpuSessionTest, WhatIsTooLargeIsAnErrorAndTheSessionLivesOn) {
  const Value x = bench_.Make({1 << 18}, {1, 2}, DType::kFloat32);
  EXPECT_THAT(ErrorOf([&] { bench_.Run({Expand(x, {1 << 20, 1 << 18})}); }),
              AllOf(StartsWith("OUT_OF_MEMORY"), HasSubstr("1099511627776 bytes asked for"),
                    HasSubstr(" in use")));
  EXPECT_EQ(bench_.Read(x + 1.0)[1], 3);
}

TEST_F(GpuSessionTest, AFullDeviceSaysSoAndAllOfItIsThereAgainAfterwards) {
  const int64_t held = DeviceUnderTest().memory().live_bytes;
  const int64_t part = DeviceUnderTest().Describe().memory_bytes / 16;
  const Value x = bench_.Make({2}, {1, 2});
  const auto fill = [&] {
    const auto other = DeviceUnderTest().NewStream(std::make_shared<Quota>(0));
    std::vector<BufferPtr> blocks;
    return ErrorOf([&] {
      for (int i = 0; i < 17; ++i) blocks.push_back(other->Allocate(static_cast<size_t>(part)));
    });
  };
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(fill(), AllOf(StartsWith("OUT_OF_MEMORY"), HasSubstr(" bytes asked for, "),
                              HasSubstr(" in use")));
    EXPECT_LE(DeviceUnderTest().memory().live_bytes, held + bench_.used());
    EXPECT_THAT(bench_.Read(x + 1.0), ElementsAre(2, 3));
  }
  EXPECT_GT(DeviceUnderTest().memory().cached_bytes, part);
  EXPECT_NE(ErrorOf([&] { bench_.stream().Allocate(size_t{1} << 40); }), "no error");
  EXPECT_EQ(DeviceUnderTest().memory().cached_bytes, 0);
}

// A session that may hold 5 MiB.
TEST(DeviceQuotaTest, WhatIsBeyondItIsRefusedAndTheSessionLivesOn) {
  ComputePool pool(1);
  Session session("small", DeviceUnderTest(), pool, {.max_bytes = 5 << 20});
  const auto error_of = [&](const std::function<void(Transaction&)>& verbs) {
    return ErrorOf([&] {
      Transaction transaction(session, [] {});
      verbs(transaction);
      transaction.Commit();
    });
  };
  ASSERT_EQ(error_of([&](Transaction& t) {
              const std::vector<float> ones(1 << 19, 1);
              const TensorSpec spec{DType::kFloat32, {1 << 19}};
              t.Put({{"x", testing::ArrayOf(session, spec, ones)}}, false);
            }),
            "no error");
  const int64_t used = session.quota().used();
  EXPECT_THAT(error_of([](Transaction& t) {
                t.Forward({.nodes = {MakeNode("Neg", {"x"}, {"y"}), MakeNode("Exp", {"x"}, {"z"})},
                           .outputs = {"y", "z"}});
              }),
              AllOf(StartsWith("QUOTA_EXCEEDED"), HasSubstr("of 5242880 in use")));
  EXPECT_FALSE(session.names().contains("y"));
  EXPECT_EQ(session.quota().used(), used);
  EXPECT_EQ(error_of([](Transaction& t) {
              t.Forward({.nodes = {MakeNode("ReduceMean", {"x"}, {"y"})}, .outputs = {"y"}});
            }),
            "no error");
  const Tensor mean = OnHost(session.names().at("y").tensor().tensor(), session.stream());
  EXPECT_EQ(mean.data<float>()[0], 1);
}

}  // namespace
}  // namespace gradwire
