#include "session/transaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "session/session.h"
#include "tests/unit/error_of.h"

namespace gradwire {
namespace {

using testing::ErrorOf;

// A session without a server; each call of Do is one command or one Run.
class TransactionTest : public ::testing::Test {
 protected:
  using Verbs = std::function<void(Transaction&)>;

  void Do(const Verbs& verbs) {
    Transaction transaction(session_, [this] { CheckStop(); });
    verbs(transaction);
    transaction.Commit();
  }

  NamedTensor Array(const std::string& name, const std::vector<float>& elements) {
    Tensor tensor = AllocateTensor(session_.stream(),
                                   {DType::kFloat32, {static_cast<int64_t>(elements.size())}});
    std::copy(elements.begin(), elements.end(), tensor.mutable_data<float>());
    return {name, tensor};
  }

  void Put(const std::string& name, const std::vector<float>& elements, bool requires_grad = true) {
    Do([&](Transaction& t) { t.Put({Array(name, elements)}, requires_grad); });
  }

  static ForwardArgs Nodes(std::vector<NodeDef> nodes) {
    ForwardArgs args;
    args.nodes = std::move(nodes);
    return args;
  }

  static NodeDef Node(const std::string& op, std::vector<std::string> inputs,
                      const std::string& output) {
    NodeDef node{.op_type = op, .inputs = std::move(inputs), .outputs = {output}};
    ResolveOp(node, "", {});
    return node;
  }

  // z = sum(w * w)
  static ForwardArgs SumOfSquares() {
    return Nodes({Node("Mul", {"w", "w"}, "ww"), Node("ReduceSum", {"ww"}, "z")});
  }

  std::vector<float> Read(const std::string& name) {
    std::vector<float> elements;
    Do([&](Transaction& t) {
      const Tensor tensor = t.Fetch({name})[0].second.tensor().tensor();
      elements.assign(tensor.data<float>(), tensor.data<float>() + tensor.numel());
    });
    return elements;
  }

  // Names with what they hold, as text: two equal snapshots are the same session.
  std::map<std::string, std::vector<float>> Snapshot() {
    std::vector<std::string> names;
    Do([&](Transaction& t) {
      for (const TensorInfo& info : t.ListTensors("")) names.push_back(info.name);
    });
    std::map<std::string, std::vector<float>> snapshot;
    for (const std::string& name : names) snapshot[name] = Read(name);
    return snapshot;
  }

  void CheckStop() {
    if (stop_after_ == 0) throw Error(reason::kCancelled, "stop");
    --stop_after_;
  }

  int stop_after_ = -1;
  CpuBackend backend_;
  ComputePool pool_{1};
  Session session_{"s", backend_, pool_, {}};
};

TEST_F(TransactionTest, TrainingStepMovesTheParameter) {
  Put("w", {3, 4});
  Do([](Transaction& t) {
    t.Forward(SumOfSquares());
    t.Backward({.roots = {"z"}});
    EXPECT_EQ(t.Step({.optimizer = Sgd{.lr = 0.25}, .zero_grad = true}), 1);
  });
  EXPECT_EQ(Read("w"), (std::vector<float>{1.5, 2}));
  EXPECT_EQ(Read("z"), std::vector<float>{25});
  EXPECT_THAT(ErrorOf([&] { Read("grad/w"); }), ::testing::StartsWith("TENSOR_NOT_FOUND"));
}

TEST_F(TransactionTest, AFailedCommandTakesTheWholeRunBack) {
  Put("w", {3, 4});
  Do([](Transaction& t) { t.Forward(SumOfSquares()); });
  const auto before = Snapshot();
  const auto run = [&] {
    Do([&](Transaction& t) {
      t.Put({Array("x", {1})}, false);
      t.Backward({.roots = {"z"}});
      t.Step({.optimizer = Sgd{.lr = 1}});
      t.Forward(Nodes({Node("Add", {"w", "nowhere"}, "y")}));
    });
  };
  EXPECT_EQ(ErrorOf(run), "TENSOR_NOT_FOUND: node 0 (Add): there is no tensor 'nowhere'");
  EXPECT_EQ(Snapshot(), before);
  // The graph that the failed run had walked is whole again.
  Do([](Transaction& t) { t.Backward({.roots = {"z"}}); });
  EXPECT_EQ(Read("grad/w"), (std::vector<float>{6, 8}));
}

TEST_F(TransactionTest, StoppingBetweenOperatorsChangesNothing) {
  Put("w", {3, 4});
  const auto before = Snapshot();
  stop_after_ = 1;
  EXPECT_EQ(ErrorOf([&] { Do([](Transaction& t) { t.Forward(SumOfSquares()); }); }),
            "CANCELLED: stop");
  EXPECT_EQ(Snapshot(), before);
}

TEST_F(TransactionTest, GradientsAccumulateUntilTheyAreZeroed) {
  Put("w", {3, 4});
  for (int i = 0; i < 2; ++i) {
    Do([](Transaction& t) {
      t.Forward(SumOfSquares());
      t.Backward({.roots = {"z"}});
    });
  }
  EXPECT_EQ(Read("grad/w"), (std::vector<float>{12, 16}));
  Do([](Transaction& t) { t.ZeroGrad({}); });
  EXPECT_EQ(Snapshot().count("grad/w"), 0u);
}

TEST_F(TransactionTest, ASecondWalkNeedsRetainGraph) {
  Put("w", {3, 4});
  Do([](Transaction& t) {
    t.Forward(SumOfSquares());
    t.Backward({.roots = {"z"}, .options = {.retain_graph = true}});
  });
  Do([](Transaction& t) { t.Backward({.roots = {"z"}}); });
  const auto again = [&] { Do([](Transaction& t) { t.Backward({.roots = {"z"}}); }); };
  EXPECT_THAT(ErrorOf(again), ::testing::StartsWith("GRAPH_FREED: Trying to backward"));
  EXPECT_EQ(Read("grad/w"), (std::vector<float>{12, 16}));
}

TEST_F(TransactionTest, WithinOneRunASecondWalkFailsToo) {
  Put("w", {3, 4});
  const auto run = [&] {
    Do([](Transaction& t) {
      t.Forward(SumOfSquares());
      t.Backward({.roots = {"z"}});
      t.Backward({.roots = {"z"}});
    });
  };
  EXPECT_THAT(ErrorOf(run), ::testing::StartsWith("GRAPH_FREED"));
}

TEST_F(TransactionTest, DetachSharesStorageAndStopsGradients) {
  Put("w", {3, 4});
  Do([](Transaction& t) {
    t.Detach("w", "d", false);
    const TensorInfo info = t.DescribeTensor("d");
    EXPECT_FALSE(info.requires_grad);
    EXPECT_TRUE(info.is_leaf);
  });
  const auto buffer = [&](const std::string& name) {
    return session_.names().at(name).tensor().tensor().buffer();
  };
  EXPECT_EQ(buffer("d"), buffer("w"));
  Do([](Transaction& t) { t.Forward(Nodes({Node("Mul", {"w", "d"}, "y")})); });
  Do([](Transaction& t) {
    t.Forward(Nodes({Node("ReduceSum", {"y"}, "z")}));
    t.Backward({.roots = {"z"}});
  });
  EXPECT_EQ(Read("grad/w"), (std::vector<float>{3, 4}));
}

TEST_F(TransactionTest, AGraphKeepsTheTensorThatANameNoLongerMeans) {
  Put("w", {3, 4});
  Do([](Transaction& t) { t.Forward(SumOfSquares()); });
  Put("w", {100, 100});
  Do([](Transaction& t) { t.Backward({.roots = {"z"}}); });
  EXPECT_EQ(Read("grad/w"), (std::vector<float>{6, 8}));
}

TEST_F(TransactionTest, SecondOrderThroughGradients) {
  Put("w", {3, 4});
  Do([](Transaction& t) {
    t.Forward(Nodes({Node("Mul", {"w", "w"}, "ww"), Node("Mul", {"ww", "w"}, "www"),
                     Node("ReduceSum", {"www"}, "z")}));
    t.Gradients(
        {.outputs = {"z"}, .inputs = {"w"}, .names = {"g"}, .options = {.create_graph = true}});
    t.Forward(Nodes({Node("ReduceSum", {"g"}, "s")}));
    t.Gradients({.outputs = {"s"}, .inputs = {"w"}, .names = {"h"}});
  });
  EXPECT_EQ(Read("g"), (std::vector<float>{27, 48}));
  EXPECT_EQ(Read("h"), (std::vector<float>{18, 24}));
}

TEST_F(TransactionTest, UnusedInputsAreAnErrorOrZeros) {
  Put("w", {3, 4});
  Put("v", {1});
  Do([](Transaction& t) { t.Forward(SumOfSquares()); });
  GradientsArgs args{.outputs = {"z"}, .inputs = {"v"}, .options = {.retain_graph = true}};
  EXPECT_THAT(ErrorOf([&] { Do([&](Transaction& t) { t.Gradients(args); }); }),
              ::testing::StartsWith("NO_GRAPH"));
  args.allow_unused = true;
  Do([&](Transaction& t) { t.Gradients(args); });
  EXPECT_EQ(Read("grad/v"), std::vector<float>{0});
}

TEST_F(TransactionTest, SeedsOfNonScalarRoots) {
  Put("w", {3, 4});
  Do([](Transaction& t) { t.Forward(Nodes({Node("Mul", {"w", "w"}, "y")})); });
  const BackwardOptions retain{.retain_graph = true};
  EXPECT_THAT(ErrorOf([&] {
                Do([&](Transaction& t) { t.Backward({.roots = {"y"}, .options = retain}); });
              }),
              ::testing::HasSubstr("grad can be implicitly created only for scalar outputs"));
  const Tensor wrong = Array("", {1, 1, 1}).second;
  EXPECT_THAT(ErrorOf([&] {
                Do([&](Transaction& t) {
                  t.Backward({.roots = {"y"}, .seeds = {{"y", "", wrong}}, .options = retain});
                });
              }),
              ::testing::AllOf(::testing::HasSubstr("[3]"), ::testing::HasSubstr("[2]")));
  const Tensor seed = Array("", {1, 10}).second;
  Do([&](Transaction& t) { t.Backward({.roots = {"y"}, .seeds = {{"y", "", seed}}}); });
  EXPECT_EQ(Read("grad/w"), (std::vector<float>{6, 80}));
}

TEST_F(TransactionTest, IntegersRequireNoGrad) {
  const Tensor ints = AllocateTensor(session_.stream(), {DType::kInt64, {2}});
  EXPECT_THAT(ErrorOf([&] { Do([&](Transaction& t) { t.Put({{"i", ints}}, true); }); }),
              ::testing::HasSubstr("only Tensors of floating point and complex dtype"));
}

TEST_F(TransactionTest, ClippingBoundsTheCommonNorm) {
  Put("w", {3, 4});
  Do([](Transaction& t) {
    t.Forward(SumOfSquares());
    t.Backward({.roots = {"z"}});
    t.Step({.optimizer = Sgd{.lr = 1}, .clip_norm = 1});
  });
  const std::vector<float> w = Read("w");
  EXPECT_NEAR(w[0], 3 - 0.6, 1e-5);
  EXPECT_NEAR(w[1], 4 - 0.8, 1e-5);
}

TEST_F(TransactionTest, OptimizerStateIsNamedTensors) {
  Put("w", {3, 4});
  Do([](Transaction& t) {
    t.Forward(SumOfSquares());
    t.Backward({.roots = {"z"}});
    t.Step({.optimizer = Adam{.lr = 0.1}});
    EXPECT_EQ(t.ListTensors("optim/w/").size(), 3u);  // h, t, v
  });
  // Adam's first step has the size of the learning rate.
  EXPECT_NEAR(Read("w")[0], 2.9, 1e-5);
  EXPECT_NEAR(Read("w")[1], 3.9, 1e-5);
}

TEST_F(TransactionTest, QuotaIsCheckedBeforeAllocation) {
  Session small("q", backend_, pool_, {.max_bytes = 1024});
  const auto put = [&] {
    Transaction t(small, [] {});
    t.Put({{"x", AllocateTensor(small.stream(), {DType::kFloat32, {1024}})}}, false);
    t.Commit();
  };
  EXPECT_THAT(ErrorOf(put), ::testing::StartsWith("QUOTA_EXCEEDED"));
  EXPECT_EQ(small.quota().used(), 0);
}

}  // namespace
}  // namespace gradwire
