// A session without a server, for tests of the verbs.
#ifndef GRADWIRE_TESTS_UNIT_SESSION_BENCH_H_
#define GRADWIRE_TESTS_UNIT_SESSION_BENCH_H_

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "session/session.h"
#include "session/transaction.h"

namespace gradwire::testing {

inline NodeDef MakeNode(const std::string& op, std::vector<std::string> inputs,
                        std::vector<std::string> outputs, Attributes attributes = {}) {
  NodeDef node{.op_type = op,
               .inputs = std::move(inputs),
               .outputs = std::move(outputs),
               .attributes = std::move(attributes)};
  ResolveOp(node, "", {});
  return node;
}

class SessionBench {
 public:
  explicit SessionBench(const SessionOptions& options = {.lease = std::chrono::hours(1)})
      : session_("test", backend_, pool_, options) {}

  Session& session() { return session_; }
  int64_t used() const { return session_.quota().used(); }
  bool has(const std::string& name) const { return session_.names().contains(name); }

  Tensor Array(const Dims& dims, const std::vector<double>& elements) {
    Tensor tensor = AllocateTensor(session_.stream(), {DType::kFloat64, dims});
    session_.stream().Upload(elements.data(), *tensor.buffer(), tensor.bytes());
    return tensor;
  }

  // One command, committed.
  void Do(const std::function<void(Transaction&)>& verbs) {
    Transaction transaction(session_, [] {});
    verbs(transaction);
    transaction.Commit();
  }
  void Put(const std::string& name, const Dims& dims, const std::vector<double>& elements,
           bool requires_grad = false) {
    Do([&](Transaction& t) { t.Put({{name, Array(dims, elements)}}, requires_grad); });
  }
  void Forward(std::vector<NodeDef> nodes) {
    Do([&](Transaction& t) { t.Forward({.nodes = std::move(nodes)}); });
  }
  void Backward(const std::string& root) {
    Do([&](Transaction& t) { t.Backward({.roots = {root}}); });
  }
  std::vector<double> Read(const std::string& name) const {
    const Tensor& tensor = session_.names().at(name).tensor().tensor();
    return {tensor.data<double>(), tensor.data<double>() + tensor.numel()};
  }

 private:
  CpuBackend backend_;
  ComputePool pool_{1};
  Session session_;
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_UNIT_SESSION_BENCH_H_
