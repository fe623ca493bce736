// Commands that are known to be quick run on the thread that they came with, all others on the
// pool.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "backend/cpu/cpu_backend.h"
#include "rpc/commands.h"
#include "rpc/execute.h"
#include "rpc/repeat.h"
#include "session/session.h"
#include "session/session_store.h"

namespace gradwire::rpc {
namespace {

using namespace std::chrono_literals;

class QuickTest : public ::testing::Test {
 protected:
  // Whether the request ran on this thread; it is served as the calls of a server are.
  bool RunsHere(v1::ForwardRequest request) {
    std::promise<std::thread::id> ran_on;
    const RepeatablePtr repeatable = RepeatableOf(request, session_);
    session_.Post(
        [&] {
          v1::ForwardResponse response;
          Payloads payloads;
          ExecuteOnce(
              session_, PhaseClock(metrics_), 0, 0, repeatable, payloads, &response, [] {},
              [&](CommandScope& scope) { Forward(scope, request, &response); });
          EXPECT_EQ(response.fetched_size(), 1);
          ran_on.set_value(std::this_thread::get_id());
        },
        0, [&] { return IsQuick(session_, repeatable); });
    const bool here = ran_on.get_future().get() == std::this_thread::get_id();
    while (!pool_.idle()) std::this_thread::yield();  // the worker has left the strand
    return here;
  }

  // Of `x`, which comes with it, and an array of the session or itself.
  static v1::ForwardRequest Product(int64_t extent, const std::string& by = "x") {
    v1::ForwardRequest request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        fmt::format(
            "feeds {{ name: 'x' data_type: 1 dims: {0} dims: {0} }} fetch: 'y' no_grad: true "
            "nodes {{ op_type: 'MatMul' input: 'x' input: '{1}' output: 'y' }}",
            extent, by),
        &request));
    request.mutable_feeds(0)->mutable_raw_data()->resize(static_cast<size_t>(extent * extent) *
                                                         sizeof(float));
    return request;
  }

  std::string KeyOf(const v1::ForwardRequest& request) {
    return RepeatableOf(request, session_)->key;
  }
  // As if the request, whose plan has run, had taken so long: what it took depends on the machine.
  void Took(const v1::ForwardRequest& request, std::chrono::nanoseconds time) {
    session_.commands().Took(KeyOf(request), time);
  }

  static constexpr int kTimes = 20;

  ComputePool pool_{1};
  CpuBackend backend_;
  SessionStore store_{{}, pool_, {}};
  Metrics metrics_{store_};
  Session session_{"s", backend_, pool_, {.max_plans = 16}};
};

TEST_F(QuickTest, ATinyCommandRunsHereOnceItIsKnown) {
  EXPECT_FALSE(RunsHere(Product(2))) << "nothing is known of it";
  EXPECT_FALSE(RunsHere(Product(2))) << "it is recorded";
  EXPECT_EQ(session_.commands().TimeOf(KeyOf(Product(2))), std::nullopt);
  EXPECT_FALSE(RunsHere(Product(2))) << "its plan has never run";
  EXPECT_GT(session_.commands().TimeOf(KeyOf(Product(2))), 0ns);
  Took(Product(2), 10us);
  EXPECT_TRUE(RunsHere(Product(2)));
  Took(Product(2), 10us);
  Took(Product(2), 1ms);
  EXPECT_TRUE(RunsHere(Product(2))) << "it may have been interrupted";
  Took(Product(2), 1ms);
  Took(Product(2), 1ms);
  EXPECT_FALSE(RunsHere(Product(2))) << "it is slow";
}

TEST_F(QuickTest, ASlowCommandNeverRunsHere) {
  for (int i = 0; i < kTimes; ++i) EXPECT_FALSE(RunsHere(Product(512)));
}

TEST_F(QuickTest, ATinyCommandOfASessionThatIsNotAsItWasDoesNotRunHere) {
  const v1::ForwardRequest request = Product(2, "w");
  const auto put = [&](int64_t rows) {
    Transaction transaction(session_, [] {});
    Tensor tensor = AllocateTensor(session_.stream(), {DType::kFloat32, {rows, 2}});
    std::fill_n(tensor.mutable_data<float>(), rows * 2, 1.0f);
    transaction.Put({{"w", std::move(tensor)}}, /*requires_grad=*/false);
    transaction.Commit();
  };
  put(2);
  for (int i = 0; i < 3; ++i) RunsHere(request);
  Took(request, 10us);
  EXPECT_TRUE(RunsHere(request));
  Took(request, 10us);
  Transaction transaction(session_, [] {});
  transaction.Copy("w", "old");
  transaction.Delete({"w"}, /*missing_ok=*/false);
  transaction.Commit();
  EXPECT_FALSE(IsQuick(session_, RepeatableOf(v1::ForwardRequest(request), session_)));
}

}  // namespace
}  // namespace gradwire::rpc
