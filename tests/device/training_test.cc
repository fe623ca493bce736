// Training on the device under test: to the CPU's numbers, and to the same bits each time.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "exec/compute_pool.h"
#include "tests/ops/device.h"
#include "tests/unit/request.h"
#include "tests/unit/same.h"
#include "tests/unit/session_bench.h"

namespace gradwire {
namespace {

using testing::DeviceUnderTest;
using testing::ExpectSame;
using testing::MakeNode;

constexpr int kSteps = 12;

// A session with a classifier of six examples, each a sentence of five tokens and an image, in
// three classes.
class Trainee {
 public:
  Trainee(Backend& backend, DType dtype, size_t max_plans)
      : dtype_(dtype), session_("trainee", backend, pool_, {.seed = 7, .max_plans = max_plans}) {
    PutNumbers("table", {11, 8});
    PutNumbers("lstm_w", {1, 32, 8});
    PutNumbers("lstm_r", {1, 32, 8});
    PutNumbers("lstm_b", {1, 64});
    PutNumbers("norm_scale", {8});
    PutNumbers("norm_bias", {8});
    PutNumbers("filters", {4, 2, 3, 3});
    PutNumbers("filters_bias", {4});
    PutNumbers("w", {12, 3});
    PutNumbers("b", {3});
    PutInts("tokens", {5, 6}, 11);
    PutInts("labels", {6}, 3);
    Put("image_dims", {4}, DType::kInt64, std::vector<int64_t>{6, 2, 7, 7}, false);
    Put("state_dims", {2}, DType::kInt64, std::vector<int64_t>{6, 8}, false);
    Put("feature_dims", {2}, DType::kInt64, std::vector<int64_t>{6, 4}, false);
    Put("ratio", {}, DType::kFloat32, std::vector<float>{0.25f}, false);
    Put("training", {}, DType::kBool, std::vector<uint8_t>{1}, false);
  }

  void Train() {
    for (int step = 0; step < kSteps; ++step) {
      std::vector<float> pixels(6 * 2 * 7 * 7);
      for (size_t i = 0; i < pixels.size(); ++i) {
        pixels[i] = 0.125f * static_cast<float>((static_cast<int>(i) * 7 + step) % 17) - 1;
      }
      repeated_ += testing::RunRequest(session_, Step(dtype_, std::move(pixels))).repeated;
    }
  }
  // How many steps were not traced.
  int repeated() const { return repeated_; }
  // How many were launches of recorded work.
  int64_t replayed() {
    const CachedCommandPtr command = session_.commands().Find("train");
    return command == nullptr || command->replay == nullptr ? 0 : command->replay->replayed();
  }
  bool records() { return session_.stream().can_capture(); }
  // All of the session's, on the host: parameters, the optimizer's state, the last loss.
  std::map<std::string, Tensor> Arrays() {
    std::map<std::string, Tensor> arrays;
    for (const auto& [name, item] : session_.names()) {
      arrays[name] = OnHost(item.tensor().tensor(), session_.stream());
    }
    return arrays;
  }

 private:
  static std::vector<NodeDef> Nodes(DType dtype) {
    return {
        MakeNode("Gather", {"table", "tokens"}, {"embedded"}),
        MakeNode("LSTM", {"embedded", "lstm_w", "lstm_r", "lstm_b"}, {"states", "state"}),
        MakeNode("Reshape", {"state", "state_dims"}, {"last"}),
        MakeNode("LayerNormalization", {"last", "norm_scale", "norm_bias"}, {"norm"}),
        MakeNode("Cast", {"pixels"}, {"cast"}, {{"to", static_cast<int64_t>(dtype)}}),
        MakeNode("Reshape", {"cast", "image_dims"}, {"images"}),
        MakeNode("Conv", {"images", "filters", "filters_bias"}, {"maps"}),
        MakeNode("Relu", {"maps"}, {"lit"}),
        MakeNode("GlobalAveragePool", {"lit"}, {"pooled"}),
        MakeNode("Reshape", {"pooled", "feature_dims"}, {"features"}),
        MakeNode("Concat", {"norm", "features"}, {"both"}, {{"axis", int64_t{1}}}),
        MakeNode("Dropout", {"both", "ratio", "training"}, {"kept"}),
        MakeNode("Gemm", {"kept", "w", "b"}, {"scores"}),
        MakeNode("SoftmaxCrossEntropyLoss", {"scores", "labels"}, {"loss"}),
    };
  }
  static testing::Request Step(DType dtype, std::vector<float> pixels) {
    const auto verbs = [dtype](Transaction& t, const std::vector<Tensor>& given) {
      auto fetched = t.Forward({.nodes = Nodes(dtype),
                                .feeds = {{"pixels", given[0]}},
                                .outputs = {"loss"},
                                .fetch = {"loss"}})
                         .fetched;
      t.Backward({.roots = {"loss"}});
      t.Step({.optimizer = Adam{.lr = 0.03125}, .zero_grad = true});
      return fetched;
    };
    return {"train", verbs, {std::move(pixels)}};
  }

  template <class T>
  void Put(const std::string& name, const Dims& dims, DType dtype, const std::vector<T>& elements,
           bool requires_grad) {
    Tensor host = AllocateTensor(session_.stream().host(), {dtype, dims});
    std::copy(elements.begin(), elements.end(), static_cast<T*>(host.buffer()->data()));
    Transaction transaction(session_, [] {});
    transaction.Put({{name, FromHost(std::move(host), session_.stream())}}, requires_grad);
    transaction.Commit();
  }
  void PutNumbers(const std::string& name, const Dims& dims) {
    std::normal_distribution<double> normal(0, 0.5);
    Dispatch(TypeList<float, double, Float16>{}, dtype_, [&]<class T>() {
      std::vector<T> elements(static_cast<size_t>(NumElements(dims)));
      for (T& element : elements) element = static_cast<T>(static_cast<float>(normal(random_)));
      Put(name, dims, dtype_, elements, true);
    });
  }
  void PutInts(const std::string& name, const Dims& dims, int64_t below) {
    std::vector<int64_t> elements(static_cast<size_t>(NumElements(dims)));
    for (int64_t& element : elements) element = static_cast<int64_t>(random_()) % below;
    Put(name, dims, DType::kInt64, elements, false);
  }

  const DType dtype_;
  std::mt19937 random_{0};
  ComputePool pool_{1};
  Session session_;
  int repeated_ = 0;
};

void ExpectSameArrays(Trainee& actual, Trainee& expected, double tolerance) {
  const std::map<std::string, Tensor> want = expected.Arrays();
  const std::map<std::string, Tensor> got = actual.Arrays();
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, array] : want) {
    ASSERT_TRUE(got.contains(name)) << name;
    ExpectSame(got.at(name), array, tolerance, name);
  }
}

// With what plans make faster, and without.
class DeviceTrainingTest : public ::testing::TestWithParam<size_t> {};

// Adam divides by the size of a gradient: of a small one the rounding counts.
TEST_P(DeviceTrainingTest, GivesTheCpusNumbers) {
  CpuBackend cpu;
  for (const auto& [dtype, tolerance] :
       {std::pair(DType::kFloat64, 1e-7), {DType::kFloat32, 1e-2}}) {
    Trainee reference(cpu, dtype, 0);
    Trainee trainee(DeviceUnderTest(), dtype, GetParam());
    reference.Train();
    trainee.Train();
    EXPECT_EQ(trainee.repeated(), GetParam() > 0 ? kSteps - 2 : 0);
    EXPECT_EQ(trainee.replayed() > 2, GetParam() > 0 && trainee.records());
    ExpectSameArrays(trainee, reference, tolerance);
  }
}

TEST_P(DeviceTrainingTest, IsTheSameToTheBitEachTime) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16}) {
    Trainee first(DeviceUnderTest(), dtype, GetParam());
    first.Train();
    for (int i = 0; i < 2; ++i) {
      Trainee again(DeviceUnderTest(), dtype, GetParam());
      again.Train();
      ExpectSameArrays(again, first, 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Plans, DeviceTrainingTest, ::testing::Values(0, 4));

}  // namespace
}  // namespace gradwire
