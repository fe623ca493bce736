// The verbs. A Transaction is one command, or the commands of one Run: the verbs trace over a view
// of the session, and Commit runs what they traced and then changes the session, or neither.
//
// The same verb has the same name in the .proto, in rpc/ and here.
#ifndef GRADWIRE_SESSION_TRANSACTION_H_
#define GRADWIRE_SESSION_TRANSACTION_H_

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "autograd/backward.h"
#include "exec/executor.h"
#include "graph/trace.h"
#include "session/optimizer.h"
#include "session/program.h"

namespace gradwire {

class Session;

using NamedTensor = std::pair<std::string, Tensor>;
// Ready after Commit.
using NamedValue = std::pair<std::string, Value>;

struct TensorInfo {
  std::string name;
  TensorSpec spec;
  bool requires_grad = false;
  bool is_leaf = false;
  std::string grad_fn;
  std::string grad;
  Device device;
};

struct ForwardArgs {
  std::vector<NodeDef> nodes;  // or
  std::string program;
  std::map<std::string, std::string> bindings;
  std::vector<NamedTensor> feeds;
  std::vector<std::string> outputs;
  std::vector<std::string> fetch;
  bool no_grad = false;
  std::vector<std::string> announce;
};
struct ForwardResult {
  std::vector<TensorInfo> outputs;
  std::vector<NamedValue> fetched;
};

// What is known of a program's inputs: specs by name, and extents of named dimensions.
struct DescribeArgs {
  std::string program;
  std::map<std::string, TensorSpec> inputs;
  std::map<std::string, int64_t> dims;
};
struct ProgramDescription {
  ProgramPtr program;
  // Inputs, parameters and what the nodes make, in this order; none where a spec depends on
  // elements of an input, on an input of unknown spec, or on an operator that cannot run here.
  std::vector<std::pair<std::string, std::optional<TensorSpec>>> values;
};

// A seed by the root's name: another tensor's name, or the array.
struct SeedArg {
  std::string root;
  std::string tensor;
  std::optional<Tensor> value;
};
struct BackwardArgs {
  std::vector<std::string> roots;
  std::vector<SeedArg> seeds;
  BackwardOptions options;
  std::vector<std::string> inputs;
  std::vector<std::string> retain_grad;
};
struct GradientsArgs {
  std::vector<std::string> outputs;
  std::vector<SeedArg> seeds;
  std::vector<std::string> inputs;
  std::vector<std::string> names;
  BackwardOptions options;
  bool allow_unused = false;
};
struct StepArgs {
  std::vector<std::string> parameters;
  Optimizer optimizer;
  double clip_value = 0;
  double clip_norm = 0;
  bool zero_grad = false;
};

// Not thread-safe: lives on the session's strand. Tensors handed in are on the session's device.
class Transaction {
 public:
  // `between_ops` is called before each operator and throws to stop.
  Transaction(Session& session, std::function<void()> between_ops);
  // Without Commit: as if nothing had happened.
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  std::vector<TensorInfo> Put(std::vector<NamedTensor> tensors, bool requires_grad);
  std::vector<NamedValue> Fetch(const std::vector<std::string>& names);
  ForwardResult Forward(ForwardArgs args);
  std::vector<TensorInfo> Backward(const BackwardArgs& args);
  std::vector<TensorInfo> Gradients(const GradientsArgs& args);
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
  // The tensor itself, its graph behind it.
  Value GetGraph(const std::string& name) const;

  // Says which command of a Run is being traced, for errors.
  void SetCommand(int index) { trace_.origin().command = index; }

  // Runs what was traced, then binds. Afterwards fetched values are ready.
  void Commit();

 private:
  using Environment = std::map<std::string, Value>;

  const Value* Find(const std::string& name) const;
  const Value& Look(const std::string& name) const;
  void Bind(const std::string& name, Value value);
  void Unbind(const std::string& name);
  TensorInfo Info(const std::string& name, const Value& value) const;
  std::vector<std::string> NamesWith(const std::string& prefix) const;
  NamedValue Target(const std::string& name, const Value& value);
  std::vector<Value> Seeds(const std::vector<std::string>& roots,
                           const std::vector<SeedArg>& seeds) const;
  std::vector<Value> LookAll(const std::vector<std::string>& names) const;
  BackwardResult Walk(const std::vector<std::string>& roots, const std::vector<SeedArg>& seeds,
                      std::span<const Value> inputs, const BackwardOptions& options);
  TensorInfo Accumulate(const std::string& name, const Value& gradient);
  ProgramPtr FindProgram(const std::string& name) const;
  static void TraceNode(const NodeDef& node, Environment& environment,
                        const std::function<Value(const std::string&)>& look_outside);
  // Says in an error of `trace` which node it was, and of which program where there is one.
  static void TraceEach(const Program* program, const std::vector<NodeDef>& nodes,
                        const std::function<void(const NodeDef&)>& trace);
  void CheckInputs(const Program& program, const Environment& feeds,
                   const std::map<std::string, std::string>& bindings) const;
  static void CheckOutputs(const Program& program, const Environment& made);
  static void InferNode(const NodeDef& node, Environment& environment,
                        std::set<std::string>& unknown,
                        const std::function<Value(const std::string&)>& look_outside);

  // Throws QUOTA_EXCEEDED when more names or programs would be bound than the session may have.
  void CheckCounts() const;

  Session& session_;
  // Name -> new binding, or nothing for an unbound name.
  std::map<std::string, std::optional<Value>> changes_;
  std::map<std::string, ProgramPtr> programs_;  // null for an unloaded one
  std::vector<Value> targets_;                  // fetched values
  std::vector<NodePtr> freed_;
  uint64_t random_state_;
  Executor executor_;
  Trace trace_;
  TraceScope scope_;
  bool committed_ = false;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_TRANSACTION_H_
