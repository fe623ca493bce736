// Commands that come again: a session that keeps plans against one that traces each time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "session/session.h"
#include "session/transaction.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::ErrorOf;

// What a request says: verbs, and the elements of the arrays that come with it.
struct Request {
  std::string key;
  std::function<std::vector<NamedItem>(Transaction&, const std::vector<Tensor>& given)> verbs;
  std::vector<std::vector<float>> given = {};
};

class RepeatTest : public ::testing::Test {
 protected:
  // Runs the request in both sessions and expects the same answers and the same session after it.
  // Returns whether it was repeated from a plan.
  bool Both(const Request& request) {
    const int before = repeated_;
    const auto cached = Answers([&] { return Do(cached_, request); });
    const auto traced = Answers([&] { return Do(traced_, request); });
    EXPECT_EQ(cached, traced) << request.key;
    EXPECT_EQ(Snapshot(cached_), Snapshot(traced_)) << request.key;
    return repeated_ > before;
  }

  static Tensor Array(Session& session, const std::vector<float>& elements) {
    Tensor tensor = AllocateTensor(session.stream(),
                                   {DType::kFloat32, {static_cast<int64_t>(elements.size())}});
    std::copy(elements.begin(), elements.end(), tensor.mutable_data<float>());
    return tensor;
  }

  void Put(const std::string& name, const std::vector<float>& elements, bool requires_grad) {
    for (Session* session : {&cached_, &traced_}) {
      Transaction transaction(*session, [] {});
      transaction.Put({{name, Array(*session, elements)}}, requires_grad);
      transaction.Commit();
    }
  }

  void PutInts(const std::string& name, const std::vector<int64_t>& elements) {
    for (Session* session : {&cached_, &traced_}) {
      Transaction transaction(*session, [] {});
      Tensor tensor = AllocateTensor(session->stream(),
                                     {DType::kInt64, {static_cast<int64_t>(elements.size())}});
      std::copy(elements.begin(), elements.end(), tensor.mutable_data<int64_t>());
      transaction.Put({{name, tensor}}, false);
      transaction.Commit();
    }
  }

  static NodeDef Node(const std::string& op, std::vector<std::string> inputs,
                      const std::string& output, Attributes attributes = {}) {
    NodeDef node{.op_type = op, .inputs = std::move(inputs), .outputs = {output}};
    node.attributes = std::move(attributes);
    ResolveOp(node, "", {});
    return node;
  }

  // Evaluates nodes on x, given with the request; fetches `out` and binds nothing.
  static Request Evaluation(const std::string& key, const std::vector<NodeDef>& nodes,
                            const std::vector<float>& x) {
    return {key,
            [nodes](Transaction& t, const std::vector<Tensor>& given) {
              ForwardArgs args{.nodes = nodes, .feeds = {{"x", given[0]}}, .fetch = {"out"}};
              return t.Forward(std::move(args)).fetched;
            },
            {x}};
  }

  // loss = sum((w * x)^2), with dropout where asked for; one step of Adam.
  static Request TrainingStep(const std::vector<float>& x, bool dropout = false,
                              int checkpoint = 0) {
    return {dropout ? "train with dropout" : "train",
            [dropout, checkpoint](Transaction& t, const std::vector<Tensor>& given) {
              std::vector<NodeDef> nodes = {Node("Mul", {"w", "x"}, "y")};
              if (dropout) nodes.push_back(Node("Dropout", {"y", "ratio", "training"}, "d"));
              const std::string last = nodes.back().outputs[0];
              nodes.push_back(Node("Mul", {last, last}, "yy"));
              nodes.push_back(Node("ReduceSum", {"yy"}, "loss"));
              ForwardArgs args{.nodes = nodes,
                               .feeds = {{"x", given[0]}},
                               .outputs = {"loss"},
                               .fetch = {"loss"},
                               .checkpoint = checkpoint};
              auto fetched = t.Forward(std::move(args)).fetched;
              t.Backward({.roots = {"loss"}});
              t.Step({.optimizer = Adam{.lr = 0.125}, .zero_grad = true});
              return fetched;
            },
            {x}};
  }

  // What Dropout takes, from a vector of one.
  static Request ScalarRatio() {
    return {"ratio", [](Transaction& t, const std::vector<Tensor>&) {
              t.Forward({.nodes = {Node("Squeeze", {"ratio"}, "ratio"),
                                   Node("Cast", {"ratio"}, "training", {{"to", int64_t{9}}})},
                         .outputs = {"ratio", "training"}});
              return std::vector<NamedItem>();
            }};
  }

  Session& cached() { return cached_; }

 private:
  using Bytes = std::map<std::string, std::string>;

  static std::string BytesOf(const Tensor& tensor) {
    return ToString(tensor.spec()) + std::string(tensor.data<char>(), tensor.bytes());
  }

  template <class Run>
  static Bytes Answers(const Run& run) {
    Bytes answers;
    const std::string error = ErrorOf([&] {
      for (const auto& [name, tensor] : run()) answers[name] = BytesOf(tensor);
    });
    if (!error.empty()) answers["error"] = error;
    return answers;
  }

  // As rpc/execute.cc does.
  std::vector<NamedTensor> Do(Session& session, const Request& request) {
    std::vector<Tensor> given;
    for (const auto& elements : request.given) given.push_back(Array(session, elements));
    CommandCache& cache = session.commands();
    if (const CachedCommandPtr command = cache.Find(request.key)) {
      Transaction transaction(session, [] {});
      if (auto answers = transaction.Repeat(*command, given)) {
        ++repeated_;
        return *answers;
      }
    }
    Transaction transaction(session, [] {});
    if (cache.Wants(request.key)) transaction.Record(request.key, given);
    std::vector<NamedValue> fetched;
    for (const auto& [name, item] : request.verbs(transaction, given)) {
      fetched.emplace_back(name, item.tensor());
    }
    transaction.Answer(fetched, "");
    transaction.Commit();
    std::vector<NamedTensor> answers;
    for (const auto& [name, value] : fetched) answers.emplace_back(name, value.tensor());
    return answers;
  }

  // What a client can see of a session.
  static Bytes Snapshot(Session& session) {
    Bytes snapshot;
    Transaction transaction(session, [] {});
    for (const TensorInfo& info : transaction.ListTensors("")) {
      const Value& value = session.names().at(info.name).tensor();
      snapshot[info.name] = BytesOf(value.tensor()) + info.grad_fn + " " + info.grad +
                            (info.requires_grad ? " requires grad" : "") +
                            (info.is_leaf ? " leaf" : "") +
                            (value.leaf() != nullptr ? " of " + value.leaf()->name : "");
    }
    return snapshot;
  }

  CpuBackend backend_;
  ComputePool pool_{1};
  Session cached_{"cached", backend_, pool_, {.seed = 7, .max_plans = 4}};
  Session traced_{"traced", backend_, pool_, {.seed = 7}};
  int repeated_ = 0;
};

TEST_F(RepeatTest, ATrainingLoopIsTracedUntilItsOptimizerHasState) {
  Put("w", {1, 2, 3}, true);
  std::vector<bool> repeated;
  for (int i = 0; i < 8; ++i) repeated.push_back(Both(TrainingStep({1, -2, 0.5f * float(i)})));
  EXPECT_THAT(repeated, ::testing::ElementsAre(false, false, true, true, true, true, true, true));
}

TEST_F(RepeatTest, RandomNumbersGoOn) {
  Put("w", std::vector<float>(64, 1), true);
  Put("ratio", {0.5f}, false);
  Both(ScalarRatio());
  int repeated = 0;
  for (int i = 0; i < 6; ++i) {
    repeated += Both(TrainingStep(std::vector<float>(64, float(i)), /*dropout=*/true));
  }
  EXPECT_EQ(repeated, 4);
}

TEST_F(RepeatTest, WhatIsComputedAgainDrawsTheSameNumbers) {
  Put("w", std::vector<float>(64, 1), true);
  Put("ratio", {0.5f}, false);
  Both(ScalarRatio());
  int repeated = 0;
  for (int i = 0; i < 6; ++i) {
    repeated += Both(TrainingStep(std::vector<float>(64, float(i)), /*dropout=*/true, 2));
  }
  EXPECT_EQ(repeated, 4);
}

TEST_F(RepeatTest, OtherElementsThatDecideAShapeAreSeen) {
  PutInts("shape", {2, 2});
  const std::vector<NodeDef> nodes = {Node("Reshape", {"x", "shape"}, "out")};
  std::vector<bool> repeated;
  for (int i = 0; i < 4; ++i) repeated.push_back(Both(Evaluation("reshape", nodes, {1, 2, 3, 4})));
  PutInts("shape", {4, 1});
  for (int i = 0; i < 2; ++i) repeated.push_back(Both(Evaluation("reshape", nodes, {5, 6, 7, 8})));
  EXPECT_THAT(repeated, ::testing::ElementsAre(false, false, true, true, false, true));
}

TEST_F(RepeatTest, GivenElementsThatDecideAShapeAreReadEachTime) {
  const std::vector<NodeDef> nodes = {Node("NonZero", {"x"}, "out")};
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(Both(Evaluation("nonzero", nodes, {0, 1, float(i % 2), 1})));
  }
}

TEST_F(RepeatTest, AnotherSpecLeafOrAliasIsTracedAnew) {
  Put("w", {1, 2, 3}, true);
  const auto settle = [&] {
    for (int i = 0; i < 3; ++i) Both(TrainingStep({1, 1, 1}));
    return Both(TrainingStep({1, 2, 3}));
  };
  EXPECT_TRUE(settle());
  Put("w", {1}, true);
  EXPECT_FALSE(Both(TrainingStep({1, 1, 1})));
  for (const std::string state : {"t", "v", "h"}) {
    const Request drop{"drop", [&](Transaction& t, const std::vector<Tensor>&) {
                         t.Delete({"optim/w/" + state}, false);
                         return std::vector<NamedItem>();
                       }};
    Both(drop);
  }
  EXPECT_TRUE(settle());
  Put("w", {4}, false);
  EXPECT_FALSE(Both(TrainingStep({1, 1, 1})));  // refused: nothing requires grad
  Put("w", {4}, true);
  EXPECT_TRUE(Both(TrainingStep({1, 1, 1})));
  // Someone else holds the leaf: the graph of the step before can still be told from a new one's.
  const Request copy{"copy", [](Transaction& t, const std::vector<Tensor>&) {
                       t.Copy("w", "alias");
                       return std::vector<NamedItem>();
                     }};
  Both(copy);
  EXPECT_FALSE(Both(TrainingStep({1, 1, 1})));
}

TEST_F(RepeatTest, AMissingTensorIsMissed) {
  Put("w", {1, 2}, true);
  for (int i = 0; i < 4; ++i) Both(TrainingStep({1, 2}));
  const Request drop{"drop", [](Transaction& t, const std::vector<Tensor>&) {
                       t.Delete({"w"}, false);
                       return std::vector<NamedItem>();
                     }};
  Both(drop);
  EXPECT_FALSE(Both(TrainingStep({1, 2})));
}

TEST_F(RepeatTest, TheUsedUpGraphIsStillThere) {
  Put("w", {1, 2}, true);
  for (int i = 0; i < 4; ++i) Both(TrainingStep({1, float(i)}));
  const Request again{"again", [](Transaction& t, const std::vector<Tensor>&) {
                        t.Backward({.roots = {"loss"}});
                        return std::vector<NamedItem>();
                      }};
  Both(again);
  Transaction transaction(cached(), [] {});
  EXPECT_THAT(ErrorOf([&] { transaction.Backward({.roots = {"loss"}}); }),
              ::testing::StartsWith("GRAPH_FREED"));
  EXPECT_EQ(transaction.GetGraph("loss").grad_fn()->op().name, "ReduceSum");
}

TEST_F(RepeatTest, AGraphThatIsStillWholeIsNotShared) {
  Put("w", {1, 2}, true);
  const Request forward{"forward",
                        [](Transaction& t, const std::vector<Tensor>& given) {
                          t.Forward({.nodes = {Node("Mul", {"w", "x"}, "y")},
                                     .feeds = {{"x", given[0]}},
                                     .outputs = {"y"}});
                          return std::vector<NamedItem>();
                        },
                        {{3, 4}}};
  const Request backward{"backward",
                         [](Transaction& t, const std::vector<Tensor>& given) {
                           t.Backward({.roots = {"y"}, .seeds = {{"y", "", given[0]}}});
                           return std::vector<NamedItem>();
                         },
                         {{1, 2}}};
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(Both(forward));
    EXPECT_FALSE(Both(backward));
  }
}

TEST_F(RepeatTest, GradientsAccumulate) {
  Put("w", {1, 2}, true);
  const Request accumulate{"accumulate",
                           [](Transaction& t, const std::vector<Tensor>& given) {
                             t.Forward({.nodes = {Node("Mul", {"w", "x"}, "y")},
                                        .feeds = {{"x", given[0]}},
                                        .outputs = {"y"}});
                             t.Backward({.roots = {"y"}, .seeds = {{"y", "", given[1]}}});
                             return std::vector<NamedItem>();
                           },
                           {{3, 4}, {1, 2}}};
  int repeated = 0;
  for (int i = 0; i < 5; ++i) repeated += Both(accumulate);
  EXPECT_EQ(repeated, 3);
}

TEST_F(RepeatTest, APutIsNewEachTime) {
  const Request put{"put",
                    [](Transaction& t, const std::vector<Tensor>& given) {
                      t.Put({{"w", given[0]}}, true);
                      t.Detach("w", "d", false);
                      return t.Fetch({"d"});
                    },
                    {{1, 2}}};
  for (int i = 0; i < 4; ++i) Both(put);
  Request other = put;
  other.given = {{5, 6}};
  EXPECT_TRUE(Both(other));
}

TEST_F(RepeatTest, AFailedRepeatChangesNothing) {
  Put("w", {1, 2}, true);
  for (int i = 0; i < 4; ++i) Both(TrainingStep({1, 1}));
  const CachedCommandPtr command = cached().commands().Find("train");
  ASSERT_NE(command, nullptr);
  int left = 3;
  {
    Transaction transaction(cached(), [&] {
      if (left-- == 0) throw Error(reason::kCancelled, "stop");
    });
    Tensor x = AllocateTensor(cached().stream(), {DType::kFloat32, {2}});
    std::memset(x.mutable_data<float>(), 0, x.bytes());
    EXPECT_EQ(ErrorOf([&] { transaction.Repeat(*command, {x}); }), "CANCELLED: stop");
  }
  EXPECT_TRUE(Both(TrainingStep({1, 1})));
}

TEST_F(RepeatTest, WhatIsTheSameEachTimeIsComputedOnce) {
  PutInts("shape", {3});
  // out = x + 2 * (ones(shape) + ones(shape)), of which x alone is given.
  const std::vector<NodeDef> nodes = {
      Node("ConstantOfShape", {"shape"}, "zeros"), Node("Exp", {"zeros"}, "ones"),
      Node("Add", {"ones", "ones"}, "twos"), Node("Add", {"twos", "twos"}, "fours"),
      Node("Add", {"x", "fours"}, "out")};
  for (int i = 0; i < 3; ++i) Both(Evaluation("fold", nodes, {1, 2, float(i)}));
  const CachedCommandPtr command = cached().commands().Find("fold");
  ASSERT_NE(command, nullptr);
  EXPECT_EQ(command->plan.steps.size(), 1u);
  EXPECT_EQ(command->constants.size(), 1u);
  EXPECT_TRUE(Both(Evaluation("fold", nodes, {5, 6, 7})));
}

TEST_F(RepeatTest, TheLeastRecentlyUsedPlanIsForgotten) {
  const std::vector<NodeDef> nodes = {Node("Neg", {"x"}, "out")};
  for (int i = 0; i < 3; ++i) Both(Evaluation("first", nodes, {1}));
  for (const char* key : {"a", "b", "c"}) Both(Evaluation(key, nodes, {1}));
  EXPECT_TRUE(Both(Evaluation("first", nodes, {2})));
  for (const char* key : {"d", "e", "f", "g"}) Both(Evaluation(key, nodes, {1}));
  EXPECT_FALSE(Both(Evaluation("first", nodes, {2})));
}

}  // namespace
}  // namespace gradwire
