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
#include "session/optimizer.h"
#include "session/program.h"
#include "session/recorder.h"
#include "session/trace_nodes.h"

namespace gradwire {

class Session;

using NamedTensor = std::pair<std::string, Tensor>;
// Ready after Commit.
using NamedItem = std::pair<std::string, Item>;

struct TensorInfo {
  std::string name;
  TensorSpec spec;
  bool requires_grad = false;
  bool is_leaf = false;
  std::string grad_fn;
  std::string grad;
  Device device;
  ItemType type = {};
  std::vector<TensorSpec> elements = {};  // of a sequence; `spec` has its element type
};

struct ForwardArgs {
  std::vector<NodeDef> nodes;  // or
  std::string program;
  std::map<std::string, std::string> bindings;
  std::vector<NamedTensor> feeds;
  std::vector<NamedItem> item_feeds;  // sequences and optionals
  std::vector<std::string> outputs;
  std::vector<std::string> fetch;
  bool no_grad = false;
  std::vector<std::string> announce;
  int checkpoint = 0;  // spans of nodes to compute again on the way back
  bool detect_anomaly = false;
};
struct ForwardResult {
  std::vector<TensorInfo> outputs;
  std::vector<NamedItem> fetched;
};

// What is known of a program's inputs: specs by name, and extents of named dimensions.
struct DescribeArgs {
  std::string program;
  std::map<std::string, TensorSpec> inputs;
  std::map<std::string, int64_t> dims;
};
struct ProgramDescription {
  ProgramPtr program;
  // Inputs, parameters and what the nodes make, in this order; without a type where a spec depends
  // on elements of an input, on an input of unknown spec, or on an operator that cannot run here.
  std::vector<ValueInfo> values;
};

// A seed by the root's name, or a vector by the input's: another tensor's name, or the array.
struct SeedArg {
  std::string of;
  std::string tensor;
  std::optional<Tensor> value;
};
struct BackwardArgs {
  std::vector<std::string> roots;
  std::vector<SeedArg> seeds;
  BackwardOptions options;
  std::vector<std::string> inputs;
  std::vector<std::string> retain_grad;
  bool detect_anomaly = false;
};
struct GradientsArgs {
  std::vector<std::string> outputs;
  std::vector<SeedArg> seeds;
  std::vector<std::string> inputs;
  std::vector<std::string> names;
  BackwardOptions options;
  bool allow_unused = false;
  bool detect_anomaly = false;
};
// Jvp and Hvp: products of a Jacobian or Hessian with vectors.
struct ProductArgs {
  std::vector<std::string> outputs;
  std::vector<std::string> inputs;
  std::vector<SeedArg> vectors;  // zeros for inputs that have none
  std::vector<std::string> names;
  BackwardOptions options;
  bool fetch = false;
  bool detect_anomaly = false;
};
struct ProductResult {
  std::vector<TensorInfo> products;
  std::vector<NamedItem> fetched;
};
struct StepArgs {
  std::vector<std::string> parameters;
  Optimizer optimizer;
  double clip_value = 0;
  double clip_norm = 0;
  bool zero_grad = false;
};

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

  // Says which command of a Run is being traced, for errors.
  void SetCommand(int index) { trace_.origin().command = index; }

  // Runs what was traced, then binds. Afterwards fetched values are ready.
  void Commit();

  // Before the first verb: has the transaction kept under `key` by its commit, in the session's
  // cache, if it can be. `given` are the request's arrays.
  void Record(std::string key, std::vector<Tensor> given);
  // After the last verb of one that is recorded: the arrays of its answer, and the rest of it.
  void Answer(std::vector<NamedValue> fetched, std::string answer);
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
  // The arrays behind `command.reads`; none where the session is not as it was.
  std::optional<std::vector<Value>> Match(const CachedCommand& command) const;
  // Binds what was computed.
  void Apply();
  // Throws QUOTA_EXCEEDED when more names or programs would be bound than the session may have.
  void CheckCounts() const;

  Session& session_;
  // Name -> new binding, or nothing for an unbound name.
  std::map<std::string, std::optional<Item>> changes_;
  std::map<std::string, ProgramPtr> programs_;  // null for an unloaded one
  std::vector<Value> targets_;                  // fetched values
  std::vector<NodePtr> freed_;
  uint64_t random_state_;
  Executor executor_;
  std::unique_ptr<Recorder> recorder_;
  Trace trace_;
  TraceScope scope_;
  bool committed_ = false;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_TRANSACTION_H_
