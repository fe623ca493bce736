// The verbs. A Transaction is one command, or the commands of one Run: the verbs trace over a view
// of the session, and Commit runs what they traced and then changes the session, or neither.
//
// The same verb has the same name in the .proto, in rpc/ and here.
#ifndef GRADWIRE_SESSION_TRANSACTION_H_
#define GRADWIRE_SESSION_TRANSACTION_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "autograd/backward.h"
#include "exec/executor.h"
#include "graph/trace.h"
#include "session/arguments.h"
#include "session/recorder.h"
#include "session/trace_nodes.h"

namespace gradwire {

class Session;

// Not thread-safe: lives on the session's strand. Tensors handed in are on the session's device.
class Transaction : private Evaluator {
 public:
  // `between_ops` is called before each operator and throws to stop.
  Transaction(Session& session, std::function<void()> between_ops);
  // Without Commit: as if nothing had happened.
  ~Transaction() override;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  std::vector<TensorInfo> Put(std::vector<NamedTensor> tensors, bool requires_grad);
  std::vector<NamedItem> Fetch(const std::vector<std::string>& names);
  ForwardResult Forward(ForwardArgs args);
  std::vector<TensorInfo> Backward(const BackwardArgs& args);
  std::vector<TensorInfo> Gradients(const GradientsArgs& args);
  ProductResult Jvp(const ProductArgs& args);
  ProductResult Hvp(const ProductArgs& args);  // of one output
  TensorInfo Detach(const std::string& from, const std::string& to, bool requires_grad);
  TensorInfo Copy(const std::string& from, const std::string& to);
  void Delete(const std::vector<std::string>& names, bool missing_ok);
  std::vector<TensorInfo> ListTensors(const std::string& prefix) const;
  TensorInfo DescribeTensor(const std::string& name) const;
  int Step(const StepArgs& args);
  void ZeroGrad(const std::vector<std::string>& parameters);
  void LoadProgram(Program program, std::vector<NamedTensor> initializers, bool trainable);
  void UnloadProgram(const std::string& name);
  // Traces a program without inputs' elements; nothing changes. Throws what Forward would for the
  // same specs, and INVALID_ARGUMENT for a name that no input or dimension has.
  ProgramDescription DescribeProgram(const DescribeArgs& args);
  ProgramPtr FindProgram(const std::string& name) const;
  // An empty `vjp` takes back what was set before.
  ProgramPtr SetVjp(const std::string& program, const std::string& vjp);
  // The tensor itself, its graph behind it.
  Value GetGraph(const std::string& name) const;
  // Has Commit move the session to another device; it throws what Session::Move does. REQUIRES: no
  // other verb is in the transaction.
  void MoveSession(Backend& to) { move_to_ = &to; }

  // Says which command of a Run is being traced, for errors.
  void SetCommand(int index) { trace_.origin().command = index; }
  // -1 outside of a Run.
  int command() { return trace_.origin().command; }
  // Has the operators recorded that run from now on; `profile` outlives the transaction.
  void set_profile(Profile& profile) { executor_.set_profile(&profile); }

  // Runs what was traced, then binds. Afterwards fetched values are ready.
  void Commit();

  // Before the first verb: has the transaction kept under `key` by its commit, in the session's
  // cache, if it can be. `given` are the request's arrays.
  void Record(std::string key, std::vector<Tensor> given);
  // After the last verb of one that is recorded: the arrays of its answer, and the rest of it.
  void Answer(std::vector<NamedValue> fetched, std::string answer);
  // The arrays behind `command.reads`; none where the session is not as it was.
  std::optional<std::vector<Value>> Match(const CachedCommand& command) const;
  // In place of verbs and Commit: what a recorded transaction did, with other arrays given. Returns
  // those that it answers, or nothing where the session is not as it was.
  std::optional<std::vector<NamedTensor>> Repeat(const CachedCommand& command,
                                                 const std::vector<Tensor>& given);

 private:
  const Item* FindItem(const std::string& name) const;
  const Item& LookItem(const std::string& name) const;
  // Throw INVALID_ARGUMENT for a name that is bound to no tensor.
  const Value* Find(const std::string& name) const;
  const Value& Look(const std::string& name) const;
  void Bind(const std::string& name, Item item);
  void Unbind(const std::string& name);
  TensorInfo Info(const std::string& name, const Item& item) const;
  std::vector<std::string> NamesWith(const std::string& prefix) const;
  // Has the tensors computed by Commit.
  void Target(const Item& item);
  // The same, and their copies to the host started.
  void Announce(const Item& item);
  std::vector<Value> Seeds(const std::vector<std::string>& roots,
                           const std::vector<SeedArg>& seeds) const;
  std::vector<Value> LookAll(const std::vector<std::string>& names) const;
  // Values that require grad; NO_GRAPH in PyTorch's words for one that does not.
  std::vector<Value> Roots(const std::vector<std::string>& names) const;
  std::vector<Value> Inputs(const std::vector<std::string>& names) const;
  std::vector<Value> Vectors(const ProductArgs& args, const std::vector<Value>& inputs) const;
  ProductResult Products(const ProductArgs& args, const std::vector<std::string>& names,
                         BackwardResult walk);
  BackwardResult Walk(const std::vector<std::string>& roots, const std::vector<SeedArg>& seeds,
                      std::span<const Value> inputs, const BackwardOptions& options);
  TensorInfo Accumulate(const std::string& name, const Value& gradient);
  void CheckInputs(const Program& program, const Environment& feeds,
                   const std::map<std::string, std::string>& bindings) const;
  // Throws INVALID_ARGUMENT for a program that is another's VJP.
  void RequireNoVjpOf(const std::string& name) const;

  // For what the trace itself reads.
  void Evaluate(std::span<const Value> values) override;
  void Poll() override { executor_.Poll(); }
  // Binds what was computed.
  void Apply();
  // Throws QUOTA_EXCEEDED when more names or programs would be bound than the session may have.
  void CheckCounts() const;

  Session& session_;
  const std::shared_ptr<Stream> stream_;
  // Name -> new binding, or nothing for an unbound name.
  std::map<std::string, std::optional<Item>> changes_;
  std::map<std::string, ProgramPtr> programs_;  // null for an unloaded one
  std::vector<Value> targets_;                  // fetched values
  std::vector<Value> announced_;
  std::vector<NodePtr> freed_;
  uint64_t random_state_;
  Executor executor_;
  std::unique_ptr<Recorder> recorder_;
  Trace trace_;
  TraceScope scope_;
  Backend* move_to_ = nullptr;
  bool committed_ = false;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_TRANSACTION_H_
