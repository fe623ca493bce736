// Moves of sessions that are refused, and what moves count as.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backend/quota.h"
#include "core/strings.h"
#include "exec/compute_pool.h"
#include "session/session_store.h"
#include "tests/cuda/fake_device.h"
#include "tests/device/traveller.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using ::testing::AllOf;
using testing::ErrorOf;
using testing::ExpectNear;
using testing::FakeGpu;
using ::testing::HasSubstr;
using testing::PutModel;
using ::testing::StartsWith;
using testing::Traveller;

constexpr int64_t kMiB = int64_t{1} << 20;

// Whatever stands in the way, all is as it was, and training goes on.
class RefusedMoveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    PutModel(stays_);
    PutModel(session_);
    for (Traveller* session : {&stays_, &session_}) {
      session->PutFilled("large", kMiB / 4);
      session->Train();
    }
  }
  // The error of a move, after which nothing is different.
  std::string RefusalOf(Backend& to) {
    const int64_t used = session_.used();
    Stream* const stream = &session_.session().stream();
    const std::string error = ErrorOf([&] { session_.Move(to); });
    EXPECT_EQ(&session_.session().stream(), stream);
    EXPECT_EQ(session_.session().device(), stream->device());
    EXPECT_EQ(session_.used(), used);
    for (const TensorInfo& info : session_.Infos()) {
      if (info.type.dtype != DType::kString) {
        EXPECT_EQ(session_.ArrayOf(info.name).device(), stream->device());
      }
    }
    return error;
  }
  void ExpectTrainingGoesOn() {
    stays_.Train();
    session_.Train();
    ExpectNear(session_.All(), stays_.All());
  }

  CpuBackend cpu_;
  FakeGpu first_;
  FakeGpu second_{size_t{1} << 30, SIZE_MAX, 1};
  Traveller stays_;
  Traveller session_;
};

TEST_F(RefusedMoveTest, WhereMemoryIsShort) {
  FakeGpu small(size_t{1} << 20, SIZE_MAX, 2);
  EXPECT_THAT(RefusalOf(small.backend()), StartsWith("OUT_OF_MEMORY"));
  EXPECT_EQ(small.backend().memory().live_bytes, 0);
  session_.Move(first_.backend());
  EXPECT_THAT(RefusalOf(small.backend()), StartsWith("OUT_OF_MEMORY"));
  EXPECT_EQ(small.backend().memory().live_bytes, 0);
  ExpectTrainingGoesOn();
}

TEST_F(RefusedMoveTest, WhereADeviceIsBroken) {
  first_.driver().Break("an illegal address");
  EXPECT_EQ(RefusalOf(first_.backend()), "DEVICE_FAILED: an illegal address");
  ExpectTrainingGoesOn();
  session_.Move(second_.backend());
  second_.driver().Break("another one");
  EXPECT_EQ(RefusalOf(cpu_), "DEVICE_FAILED: another one");
}

TEST_F(RefusedMoveTest, WhereTheCallIsStopped) {
  const size_t arrays = session_.session().names().size();
  for (const size_t at : {size_t{0}, arrays - 1, arrays, arrays + 2}) {
    size_t polls = 0;
    Transaction transaction(session_.session(), [&] {
      if (polls++ == at) throw Error(reason::kCancelled, "enough");
    });
    transaction.MoveSession(first_.backend());
    EXPECT_EQ(ErrorOf([&] { transaction.Commit(); }), "CANCELLED: enough");
    EXPECT_EQ(session_.session().device().name(), "cpu");
    EXPECT_EQ(session_.used(), stays_.used());
  }
  EXPECT_EQ(first_.backend().memory().live_bytes, 0);
  ExpectTrainingGoesOn();
}

TEST_F(RefusedMoveTest, WhereThereAreStrings) {
  const std::vector<std::string_view> texts = {"a", "longer than what fits a view"};
  Stream& stream = session_.session().stream();
  const Tensor strings =
      MakeStrings({2}, texts, [&](size_t bytes) { return stream.Allocate(bytes); });
  session_.Do([&](Transaction& t) { t.Put({{"texts", strings}}, false); });
  EXPECT_THAT(RefusalOf(first_.backend()),
              AllOf(StartsWith("OP_UNSUPPORTED: tensor 'texts': arrays of strings"),
                    HasSubstr("this is cuda:0")));
  session_.Do([&](Transaction& t) { t.Delete({"texts"}, false); });
  session_.Move(first_.backend());
  ExpectTrainingGoesOn();
}

TEST_F(RefusedMoveTest, WhereMemoryIsSharedWithAProcess) {
  session_.session().AttachMemory(kMiB, kMiB);
  EXPECT_THAT(RefusalOf(first_.backend()),
              StartsWith("INVALID_ARGUMENT: the session shares memory"));
  session_.Move(cpu_);
  ExpectTrainingGoesOn();
}

TEST(MoveMemoryTest, MemoryMayBeSharedOnceTheSessionIsOnTheCpu) {
  CpuBackend cpu;
  FakeGpu gpu;
  Traveller session;
  session.Move(gpu.backend());
  EXPECT_THAT(ErrorOf([&] { session.session().AttachMemory(kMiB, kMiB); }),
              StartsWith("INVALID_ARGUMENT: device 'cuda:0' has no memory"));
  session.Move(cpu);
  EXPECT_NE(session.session().AttachMemory(kMiB, kMiB), nullptr);
}

// A store with three devices, and a session of the tenant "a" that may hold 3 MiB and holds 2 MiB.
class MoveStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<std::unique_ptr<Backend>> backends;
    backends.push_back(std::make_unique<CpuBackend>());
    backends.push_back(first_.Release());
    backends.push_back(second_.Release());
    store_ = std::make_unique<SessionStore>(std::move(backends), pool_,
                                            SessionLimits{.tenant = {.max_bytes = 5 * kMiB / 2}});
    session_ = store_->Open({.max_bytes = 3 * kMiB}, "a");
    Do([&](Transaction& t) {
      Tensor x = AllocateTensor(session_->stream(), {DType::kUint8, {2 * kMiB}});
      session_->stream().Upload(std::vector<char>(2 * kMiB, 7).data(), *x.buffer(), 2 * kMiB);
      t.Put({{"x", std::move(x)}}, false);
    });
  }
  void Do(const std::function<void(Transaction&)>& verbs) {
    Transaction transaction(*session_, [] {});
    verbs(transaction);
    transaction.Commit();
  }
  void Move(const std::string& device) {
    Do([&](Transaction& t) { t.MoveSession(store_->FindBackend(device)); });
  }
  TenantUsage Usage() { return store_->Usage().at(0); }

  FakeGpu first_;
  FakeGpu second_{size_t{1} << 30, SIZE_MAX, 1};
  ComputePool pool_{1};
  std::unique_ptr<SessionStore> store_;
  std::shared_ptr<Session> session_;
};

TEST_F(MoveStoreTest, ArraysCountOnceAndWhereTheyAre) {
  for (const char* device : {"cuda:0", "cuda:1", "", "cuda:1"}) {
    Move(device);
    const TenantUsage usage = Usage();
    EXPECT_EQ(usage.bytes, 2 * kMiB);
    for (const auto& [name, held] : usage.devices) {
      const bool here = name == session_->device().name();
      EXPECT_EQ(held.sessions, here ? 1 : 0) << name;
      EXPECT_EQ(held.tensors, here ? 1 : 0) << name;
    }
    EXPECT_EQ(session_->quota().used(), 2 * kMiB);
    EXPECT_EQ(session_->quota().peak(), 2 * kMiB);
  }
  EXPECT_EQ(session_->device().name(), "cuda:1");
  EXPECT_THAT(ErrorOf([&] { session_->stream().Allocate(kMiB); }), HasSubstr("max_tenant_bytes"));
  Do([](Transaction& t) { t.Delete({"x"}, false); });
  EXPECT_EQ(Usage().bytes, 0);
}

TEST_F(MoveStoreTest, AnUnknownDevice) {
  EXPECT_THAT(
      ErrorOf([&] { Move("cuda:2"); }),
      StartsWith("DEVICE_NOT_FOUND: this server has no device 'cuda:2'; it has: cpu, cuda:0, "
                 "cuda:1"));
}

TEST_F(MoveStoreTest, ABrokenDevice) {
  first_.driver().Break("an illegal address");
  EXPECT_EQ(ErrorOf([&] { Move("cuda:0"); }), "DEVICE_FAILED: cuda:0: an illegal address");
}

TEST_F(MoveStoreTest, ArraysThatComeInMeanwhileAreBooked) {
  std::atomic<bool> stop{false};
  std::atomic<int> made{0};
  std::thread uploads([&] {
    while (!stop) {
      const BufferPtr buffer = session_->host()->Allocate(1000);
      EXPECT_EQ(buffer->device().name(), "cpu");
      EXPECT_FALSE(session_->device().name().empty());
      ++made;
    }
  });
  for (int i = 0; i < 20 || made < 100; ++i) Move(i % 2 == 0 ? "cuda:0" : "cpu");
  stop = true;
  uploads.join();
  Do([](Transaction& t) { t.Delete({"x"}, false); });
  EXPECT_EQ(Usage().bytes, 0);
}

}  // namespace
}  // namespace gradwire
