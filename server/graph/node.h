// One operator call in a traced graph.
#ifndef GRADWIRE_GRAPH_NODE_H_
#define GRADWIRE_GRAPH_NODE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "core/attributes.h"
#include "graph/value.h"

namespace gradwire {

class VjpCall;
struct OpDef;
struct Watch;

// Where a node came from: indices into the client's Run and Forward, -1 where there is none; what
// the client called its node, and the operator that it asked for.
struct Origin {
  int command = -1;
  int node = -1;
  std::string label;
  const OpDef* op = nullptr;
};

// The derivative of one node, where the operator leaves it to the node: of a function that a client
// made. Immutable.
class Rule {
 public:
  virtual ~Rule() = default;
  // As OpDef::vjp.
  virtual Values Vjp(const VjpCall& call) const = 0;
  // Which arrays Vjp reads; others are freed after the forward run.
  virtual bool SavesInput(size_t i) const = 0;
  virtual bool SavesOutput(size_t i) const = 0;
};
using RulePtr = std::shared_ptr<const Rule>;

// Before it has run, a node holds its inputs. After, a recorded node keeps what its VJP reads, and
// any other keeps nothing. Long chains are torn down without recursion.
class Node : public std::enable_shared_from_this<Node> {
 public:
  Node(const OpDef* op, Values inputs, Attributes attributes, bool recorded);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const OpDef& op() const { return *op_; }
  const Attributes& attributes() const { return attributes_; }
  // Grows with each node that is made, so that a node's is above those of its inputs' nodes.
  uint64_t serial() const { return serial_; }
  // The serial of the last node that was made, by any thread.
  static uint64_t LastSerial();

  const Origin& origin() const { return origin_; }
  void set_origin(const Origin& origin) { origin_ = origin; }
  // Null where the derivative is the operator's.
  const RulePtr& rule() const { return rule_; }
  void set_rule(RulePtr rule) { rule_ = std::move(rule); }
  // Has the outputs looked at for NaN and Inf once they are computed (graph/anomaly.h).
  const Watch* watch() const { return watch_.get(); }
  void set_watch(std::unique_ptr<const Watch> watch);

  const Values& inputs() const { return inputs_; }
  size_t num_outputs() const { return outputs_.size(); }
  const SlotPtr& output_slot(int i) const { return outputs_[static_cast<size_t>(i)]; }
  Value output(int i) { return {output_slot(i), shared_from_this(), i}; }
  void AddOutput(TensorSpec spec);

  // Whether an autograd graph keeps this node.
  bool recorded() const { return recorded_; }
  // Takes the node out of the graph: what was saved for its VJP is dropped.
  void StopRecording();
  // Whether the VJP reads the array.
  bool SavesInput(size_t i) const;
  bool SavesOutput(size_t i) const;
  // Whether a Backward without retain_graph used the node up. The mark counts at once; what the VJP
  // would have read is dropped by AfterRun, or for a node that has run before by DropFreed, so that
  // a failed command can take the mark back. Edges stay: a later walk can say what is missing.
  bool freed() const { return freed_; }
  void MarkFreed(bool freed) { freed_ = freed; }
  void DropFreed();

  bool has_run() const { return has_run_; }
  // Called once its outputs are ready: drops what nobody will read.
  void AfterRun();

 private:
  void DropInput(size_t i, Slot::State state);
  void DropOutput(size_t i, Slot::State state);

  const OpDef* op_;
  const uint64_t serial_;
  Values inputs_;
  Attributes attributes_;
  absl::InlinedVector<SlotPtr, 1> outputs_;
  Origin origin_;
  RulePtr rule_;
  std::unique_ptr<const Watch> watch_;
  bool recorded_;
  bool freed_ = false;
  bool has_run_ = false;
};

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_NODE_H_
