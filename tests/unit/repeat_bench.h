// Two sessions on a device, of which one keeps plans and one traces each time; for tests.
#ifndef GRADWIRE_TESTS_UNIT_REPEAT_BENCH_H_
#define GRADWIRE_TESTS_UNIT_REPEAT_BENCH_H_

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "backend/on_host.h"
#include "session/session.h"
#include "session/transaction.h"
#include "tests/unit/error_of.h"
#include "tests/unit/request.h"
#include "tests/unit/same.h"

namespace gradwire::testing {

class RepeatBench {
 public:
  using Request = testing::Request;

  // `tolerance`: of floats, relative to 1 + |x|; to the bit where it is 0.
  explicit RepeatBench(Backend& backend,
                       const SessionOptions& options = {.seed = 7, .max_plans = 4},
                       double tolerance = 0)
      : tolerance_(tolerance),
        cached_("cached", backend, pool_, options),
        traced_("traced", backend, pool_, {.seed = options.seed}) {}

  // Runs the request in both sessions and expects the same answers and the same session after it.
  // Returns whether it was repeated from a plan.
  bool Both(const Request& request) {
    bool repeated = false;
    const auto run = [&](Session& session) {
      Seen answers;
      answers.error = ErrorOf([&] {
        const Answer answer = RunRequest(session, request);
        repeated |= answer.repeated;
        for (const auto& [name, tensor] : answer.arrays) Note(name, tensor, session, answers);
      });
      return answers;
    };
    const Seen cached = run(cached_);
    ExpectSame(cached, run(traced_), request.key);
    ExpectSame(Snapshot(cached_), Snapshot(traced_), request.key);
    return repeated;
  }

  static Tensor Array(Session& session, const std::vector<float>& elements) {
    return ArrayOf(session, {DType::kFloat32, {static_cast<int64_t>(elements.size())}}, elements);
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
      const TensorSpec spec{DType::kInt64, {static_cast<int64_t>(elements.size())}};
      transaction.Put({{name, ArrayOf(*session, spec, elements)}}, false);
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
  Session& traced() { return traced_; }

 private:
  // What a client sees: arrays, on the host, and what is said of them.
  struct Seen {
    std::string error;
    std::map<std::string, std::string> said;
    std::map<std::string, Tensor> arrays;
  };

  static void Note(const std::string& name, const Tensor& tensor, Session& session, Seen& seen) {
    seen.arrays[name] = OnHost(tensor, session.stream());
  }

  void ExpectSame(const Seen& actual, const Seen& expected, const std::string& key) const {
    SCOPED_TRACE(key);
    EXPECT_EQ(actual.error, expected.error);
    EXPECT_EQ(actual.said, expected.said);
    ASSERT_EQ(actual.arrays.size(), expected.arrays.size());
    for (const auto& [name, array] : expected.arrays) {
      ASSERT_TRUE(actual.arrays.contains(name)) << name;
      testing::ExpectSame(actual.arrays.at(name), array, tolerance_, name);
    }
  }

  // The whole session.
  static Seen Snapshot(Session& session) {
    Seen snapshot;
    Transaction transaction(session, [] {});
    for (const TensorInfo& info : transaction.ListTensors("")) {
      const Value& value = session.names().at(info.name).tensor();
      Note(info.name, value.tensor(), session, snapshot);
      snapshot.said[info.name] = info.grad_fn + " " + info.grad +
                                 (info.requires_grad ? " requires grad" : "") +
                                 (info.is_leaf ? " leaf" : "") +
                                 (value.leaf() != nullptr ? " of " + value.leaf()->name : "");
    }
    return snapshot;
  }

  const double tolerance_;
  ComputePool pool_{1};
  Session cached_;
  Session traced_;
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_UNIT_REPEAT_BENCH_H_
