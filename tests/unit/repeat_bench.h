// Two sessions on a device, of which one keeps plans and one traces each time; for tests.
#ifndef GRADWIRE_TESTS_UNIT_REPEAT_BENCH_H_
#define GRADWIRE_TESTS_UNIT_REPEAT_BENCH_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "backend/on_host.h"
#include "session/session.h"
#include "session/transaction.h"
#include "tests/unit/error_of.h"

namespace gradwire::testing {

class RepeatBench {
 public:
  // What a request says: verbs, and the elements of the arrays that come with it.
  struct Request {
    std::string key;
    std::function<std::vector<NamedItem>(Transaction&, const std::vector<Tensor>& given)> verbs;
    std::vector<std::vector<float>> given = {};
  };

  explicit RepeatBench(Backend& backend,
                       const SessionOptions& options = {.seed = 7, .max_plans = 4})
      : cached_("cached", backend, pool_, options),
        traced_("traced", backend, pool_, {.seed = options.seed}) {}

  // Runs the request in both sessions and expects the same answers and the same session after it.
  // Returns whether it was repeated from a plan.
  bool Both(const Request& request) {
    const int before = repeated_;
    const auto cached = Answers(cached_, [&] { return Do(cached_, request); });
    const auto traced = Answers(traced_, [&] { return Do(traced_, request); });
    EXPECT_EQ(cached, traced) << request.key;
    EXPECT_EQ(Snapshot(cached_), Snapshot(traced_)) << request.key;
    return repeated_ > before;
  }

  template <class T>
  static Tensor Array(Session& session, DType dtype, const std::vector<T>& elements) {
    Tensor host =
        AllocateTensor(session.stream().host(), {dtype, {static_cast<int64_t>(elements.size())}});
    std::copy(elements.begin(), elements.end(), host.mutable_data<T>());
    return FromHost(std::move(host), session.stream());
  }
  static Tensor Array(Session& session, const std::vector<float>& elements) {
    return Array(session, DType::kFloat32, elements);
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
      transaction.Put({{name, Array(*session, DType::kInt64, elements)}}, false);
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
  using Bytes = std::map<std::string, std::string>;

  static std::string BytesOf(const Tensor& tensor, Session& session) {
    const Tensor host = OnHost(tensor, session.stream());
    return ToString(host.spec()) + std::string(host.data<char>(), host.bytes());
  }

  template <class Run>
  static Bytes Answers(Session& session, const Run& run) {
    Bytes answers;
    const std::string error = ErrorOf([&] {
      for (const auto& [name, tensor] : run()) answers[name] = BytesOf(tensor, session);
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
      snapshot[info.name] = BytesOf(value.tensor(), session) + info.grad_fn + " " + info.grad +
                            (info.requires_grad ? " requires grad" : "") +
                            (info.is_leaf ? " leaf" : "") +
                            (value.leaf() != nullptr ? " of " + value.leaf()->name : "");
    }
    return snapshot;
  }

  ComputePool pool_{1};
  Session cached_;
  Session traced_;
  int repeated_ = 0;
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_UNIT_REPEAT_BENCH_H_
