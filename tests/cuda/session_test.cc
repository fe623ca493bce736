// Sessions on a device that the CPU plays: what its kernels compute, what the host does for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backend/cuda/library.h"
#include "backend/on_host.h"
#include "backend/quota.h"
#include "core/strings.h"
#include "exec/compute_pool.h"
#include "exec/host_fallback.h"
#include "graph/formula.h"
#include "graph/op.h"
#include "session/session_store.h"
#include "session/transaction.h"
#include "tests/cuda/fake_device.h"
#include "tests/ops/bench.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using ::testing::AllOf;
using testing::Bench;
using ::testing::ElementsAre;
using testing::ErrorOf;
using testing::FakeDriver;
using testing::FakeGpu;
using ::testing::HasSubstr;
using ::testing::StartsWith;

int64_t FallbacksOf(const OpDef& op) {
  const auto runs = HostFallbacks::Global().Read();
  const auto found = runs.find(&op);
  return found == runs.end() ? 0 : found->second;
}

class CudaSessionTest : public ::testing::Test {
 protected:
  FakeGpu gpu_;
  Bench bench_{[] {}, gpu_.backend()};
  const TraceScope scope_{bench_.trace()};
};

TEST_F(CudaSessionTest, ForwardAndBackwardDoNotWait) {
  const Value x = bench_.Make({2, 3}, {1, 2, 3, 4, 5, 6}, DType::kFloat32, /*leaf=*/true);
  const Value w = bench_.Make({3, 2}, {1, -1, 2, 0, 0, 1}, DType::kFloat32, /*leaf=*/true);
  const Value y = Call("Relu", {MatMul(x, w)});
  const Value z = Sum(Call("Softmax", {y}) * y, {0, 1}, false);
  bench_.Run({z});
  EXPECT_EQ(gpu_.driver().waits(), 0);
  EXPECT_EQ(bench_.Read(y), (std::vector<double>{5, 2, 14, 2}));
  EXPECT_EQ(gpu_.driver().waits(), 1);
}

TEST_F(CudaSessionTest, ADecompositionIsPreferredToTheHost) {
  const OpDef& op = Registry::Global().Latest("Hardmax");
  ASSERT_TRUE(op.cpu != nullptr && op.cuda == nullptr && op.decompose != nullptr);
  const Value y = Call("Hardmax", {bench_.Make({3}, {1, 3, 2})});
  EXPECT_NE(&y.node()->op(), &op);
  EXPECT_THAT(bench_.Read(y), ElementsAre(0, 1, 0));
  EXPECT_EQ(FallbacksOf(op), 0);
}

TEST_F(CudaSessionTest, ACheckOfIndicesWaitsForThemAlone) {
  const Value x = bench_.Make({3}, {1, 2, 3}, DType::kFloat32);
  const Value good = bench_.Make({2}, {0, -3}, DType::kInt64);
  const Value y = Call("Gather", {x, good}) * 2.0;
  bench_.Run({y});
  EXPECT_EQ(gpu_.driver().waits(), 1);
  EXPECT_GT(gpu_.driver().waiting(), 0);  // the product at least
  EXPECT_THAT(bench_.Read(y), ElementsAre(2, 2));
}

TEST_F(CudaSessionTest, ProductsAreExactUnlessTheSessionAllowsTf32) {
  const double fine = 1 + 0x1p-12;
  const auto product = [&] {
    const Value x = bench_.Make({1, 1}, {fine}, DType::kFloat32);
    return bench_.Read(MatMul(x, bench_.Make({1, 1}, {1}, DType::kFloat32)))[0];
  };
  EXPECT_EQ(product(), fine);
  bench_.stream().set_math_mode({.tf32 = true});
  EXPECT_EQ(product(), 1);
}

TEST_F(CudaSessionTest, ProductsOfHalvesNeedNoCasts) {
  for (const DType half : {DType::kFloat16, DType::kBfloat16}) {
    const Value x = bench_.Make({1, 3}, {1, 2, 0.5}, half, /*leaf=*/true);
    const Value w = bench_.Make({3, 2}, {1, -1, 2, 0, 0, 4}, half, /*leaf=*/true);
    const Value y = MatMul(x, w);
    EXPECT_EQ(y.dtype(), half);
    EXPECT_EQ(y.node()->op().name, "MatMul");
    EXPECT_EQ(y.node()->inputs()[0].slot(), x.slot());
    EXPECT_THAT(bench_.Read(y), ElementsAre(5, 1));
    EXPECT_EQ(Call("MatMul", {x, w}).node()->inputs()[0].slot(), x.slot());
    EXPECT_EQ(Call("Gemm", {x, w}).node()->inputs()[0].slot(), x.slot());
    // Of different types: in float32, and back.
    const Value wide = bench_.Make({3, 2}, {1, -1, 2, 0, 0, 4}, DType::kFloat32);
    EXPECT_EQ(Call("gradwire::MatMul", {x, wide}).node()->op().name, "Cast");
    // What was cast for a product need not have been.
    const Value again = Call("gradwire::MatMul", {x, Cast(w, DType::kFloat32)});
    EXPECT_EQ(again.node()->inputs()[1].slot(), w.slot());
  }
}

// However long a sequence is, a step of it is a few launches.
TEST_F(CudaSessionTest, AStepOfARecurrentOperatorIsAProductAndAKernel) {
  const auto launches = [&](const std::string& op, int64_t length, int gates, bool linear) {
    const int64_t hidden = 3;
    const int64_t batch = 2;
    const auto ones = [&](const Dims& dims) {
      const auto count = static_cast<size_t>(NumElements(dims));
      return bench_.Make(dims, std::vector<double>(count, 0.25), DType::kFloat32);
    };
    Values inputs = {ones({length, batch, gates * hidden}), ones({gates * hidden, hidden}),
                     ones({batch, hidden})};
    if (op == "gradwire::Lstm") inputs.push_back(inputs[2]);
    Attributes attributes;
    if (linear) attributes.Set("linear_before_reset", int64_t{1});
    const Value y = ApplyAll(op, inputs, attributes, 1)[0];
    EXPECT_EQ("gradwire::" + std::string(y.node()->op().name), op);
    bench_.stream().Synchronize();
    bench_.Run({y});
    return static_cast<int64_t>(gpu_.driver().waiting());
  };
  const auto per_step = [&](const std::string& op, int gates, bool linear = false) {
    return (launches(op, 9, gates, linear) - launches(op, 4, gates, linear)) / 5;
  };
  EXPECT_EQ(per_step("gradwire::Rnn", 1), 2);
  EXPECT_EQ(per_step("gradwire::Lstm", 4), 2);
  EXPECT_EQ(per_step("gradwire::Gru", 3, /*linear=*/true), 2);
  EXPECT_EQ(per_step("gradwire::Gru", 3), 4);
}

TEST_F(CudaSessionTest, SumsOfHalvesAreHalvesWhereTheSessionAllowsIt) {
  bench_.stream().set_math_mode({.half_sums = true});
  const Value ones = bench_.Make({1, 600}, std::vector<double>(600, 1), DType::kBfloat16);
  const Value y = Call("gradwire::MatMul", {ones, Transpose(ones, {1, 0})});
  EXPECT_THAT(bench_.Read(y), ElementsAre(256));
}

TEST_F(CudaSessionTest, UpdatesAreSortedUnlessTheSessionAllowsAnyOrder) {
  const Value x = bench_.Make({3}, {0, 0, 0}, DType::kFloat32);
  const Value indices = bench_.Make({4}, {2, 0, 2, 2}, DType::kInt64);
  const Value updates = bench_.Make({4}, {1, 2, 3, 4}, DType::kFloat32);
  const auto work = [&] {
    const Value y = Call("ScatterElements", {x, indices, updates},
                         {{"axis", int64_t{0}}, {"reduction", std::string("add")}});
    bench_.Run({y});
    const size_t queued = gpu_.driver().waiting();
    EXPECT_THAT(bench_.Read(y), ElementsAre(2, 0, 8));
    return queued;
  };
  const size_t sorted = work();
  bench_.stream().set_math_mode({.nondeterministic = true});
  EXPECT_LT(work(), sorted);
}

TEST_F(CudaSessionTest, ThereAreNoStrings) {
  const std::vector<std::string_view> texts = {"a"};
  Stream& host = bench_.stream().host();
  const Tensor strings =
      MakeStrings({1}, texts, [&](size_t bytes) { return host.Allocate(bytes); });
  EXPECT_THAT(ErrorOf([&] { FromHost(strings, bench_.stream()); }),
              StartsWith("OP_UNSUPPORTED: arrays of strings"));
  EXPECT_THAT(ErrorOf([&] { Strings({1}, texts); }), StartsWith("OP_UNSUPPORTED"));
}

// Every other operator has a CUDA kernel, or a decomposition into such. Rows leave this list, none
// comes to it.
TEST(CudaRegistryTest, TheseAreLeftToTheHost) {
  testing::InstallFakeKernels();
  std::set<std::string> names;
  for (const OpDef* op : Registry::Global().All()) {
    if (op->cpu == nullptr || op->decompose != nullptr || op->cuda != nullptr) continue;
    if (op->types.Without(DType::kString).empty()) continue;
    names.insert((op->domain.empty() ? "" : std::string(op->domain) + "::") +
                 std::string(op->name));
  }
  EXPECT_THAT(names, ElementsAre("TfIdfVectorizer"));
}

TEST(CudaStoreTest, OpensSessionsOnTheDeviceUntilItBreaks) {
  FakeGpu gpu;
  FakeDriver& driver = gpu.driver();
  std::vector<std::unique_ptr<Backend>> backends;
  backends.push_back(std::make_unique<CpuBackend>());
  backends.push_back(gpu.Release());
  ComputePool pool(1);
  SessionStore store(std::move(backends), pool, {});
  const auto session = store.Open({.device = "cuda:0", .math_mode = {.half_sums = true}});
  EXPECT_EQ(session->device().name(), "cuda:0");
  EXPECT_TRUE(session->stream().math_mode().half_sums);
  EXPECT_FALSE(session->stream().math_mode().tf32);
  driver.Break("an illegal address");
  EXPECT_EQ(ErrorOf([&] { store.Open({.device = "cuda:0"}); }),
            "DEVICE_FAILED: cuda:0: an illegal address");
  EXPECT_EQ(store.Open({})->device().name(), "cpu");
}

// y = exp(x), announced: traced the first time, then from its plan.
class CudaAnnounceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Transaction transaction(session_, [] {});
    Tensor x = AllocateTensor(session_.stream(), {DType::kFloat32, {4}});
    const std::array<float, 4> zeros{};
    session_.stream().Upload(zeros.data(), *x.buffer(), x.bytes());
    transaction.Put({{"x", std::move(x)}}, false);
    transaction.Commit();
  }
  static std::vector<NodeDef> Nodes() {
    NodeDef exp{.op_type = "Exp", .inputs = {"x"}, .outputs = {"y"}};
    ResolveOp(exp, "", {});
    return {exp};
  }
  void Trace() {
    session_.commands().Wants("key");  // has seen it now
    Transaction transaction(session_, [] {});
    transaction.Record("key", {});
    transaction.Forward({.nodes = Nodes(), .outputs = {"y"}, .announce = {"y"}});
    transaction.Answer({}, "");
    transaction.Commit();
  }
  // Fetches y after later work was queued; says how much of that was left to do.
  size_t LeftAfterFetch() {
    Stream& stream = session_.stream();
    const BufferPtr later = stream.Allocate(100);
    stream.Zero(later->data(), 100);
    const Tensor y = OnHost(session_.names().at("y").tensor().tensor(), stream);
    EXPECT_EQ(y.data<float>()[3], 1.0F);
    return gpu_.driver().waiting();
  }

  FakeGpu gpu_;
  ComputePool pool_{1};
  Session session_{"id", gpu_.backend(), pool_, {.max_plans = 4}};
};

TEST_F(CudaAnnounceTest, AFetchDoesNotWaitForWhatCameLater) {
  Trace();
  EXPECT_EQ(LeftAfterFetch(), 1U);
}

TEST_F(CudaAnnounceTest, NorOfACommandThatComesAgain) {
  Trace();
  const CachedCommandPtr command = session_.commands().Find("key");
  ASSERT_NE(command, nullptr);
  session_.stream().Synchronize();
  Transaction transaction(session_, [] {});
  ASSERT_TRUE(transaction.Repeat(*command, {}).has_value());
  EXPECT_EQ(LeftAfterFetch(), 1U);
}

TEST_F(CudaAnnounceTest, WhatIsNeverFetchedKeepsNoPlaceOfARecording) {
  Trace();
  const CachedCommandPtr command = session_.commands().Find("key");
  ASSERT_NE(command, nullptr);
  for (int i = 0; i < 12; ++i) {
    Transaction transaction(session_, [] {});
    ASSERT_TRUE(transaction.Repeat(*command, {}).has_value());
  }
  // After a run in each of two places, and a recording of each.
  EXPECT_EQ(command->replay->replayed(), 8);
}

TEST(CudaStoreTest, SessionsOnSeveralDevicesAreApart) {
  FakeGpu first;
  FakeGpu second(size_t{1} << 30, SIZE_MAX, 1);
  FakeDriver& broken = first.driver();
  std::vector<std::unique_ptr<Backend>> backends;
  backends.push_back(std::make_unique<CpuBackend>());
  backends.push_back(first.Release());
  backends.push_back(second.Release());
  const Backend& other = *backends[2];
  ComputePool pool(1);
  SessionStore store(std::move(backends), pool, {});
  const auto one = store.Open({.device = "cuda:0"});
  const auto two = store.Open({.device = "cuda:1"});
  const BufferPtr held = one->stream().Allocate(100);
  EXPECT_EQ(held->device().name(), "cuda:0");
  EXPECT_EQ(other.memory().live_bytes, 0);
  broken.Break("an illegal address");
  const BufferPtr buffer = two->stream().Allocate(100);
  EXPECT_EQ(buffer->device().name(), "cuda:1");
  EXPECT_GT(other.memory().live_bytes, 0);
  EXPECT_NO_THROW(two->stream().Synchronize());
}

TEST(CudaStoreTest, SaysWhyThereIsNoDevice) {
  const cuda::Gpus gpus = cuda::OpenGpus("libgradwire_no_such.so");
  EXPECT_TRUE(gpus.drivers.empty());
  EXPECT_THAT(gpus.missing, AllOf(StartsWith("no CUDA: "), HasSubstr("libgradwire_no_such.so")));
  std::vector<std::unique_ptr<Backend>> backends;
  backends.push_back(std::make_unique<CpuBackend>());
  ComputePool pool(1);
  SessionStore store(std::move(backends), pool, {}, gpus.missing);
  EXPECT_THAT(ErrorOf([&] { store.Open({.device = "cuda:0"}); }),
              AllOf(StartsWith("DEVICE_NOT_FOUND: this server has no device 'cuda:0'; it has: cpu"),
                    HasSubstr(gpus.missing)));
}

}  // namespace
}  // namespace gradwire
