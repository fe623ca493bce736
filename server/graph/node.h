// One operator call in a traced graph.
#ifndef GRADWIRE_GRAPH_NODE_H_
#define GRADWIRE_GRAPH_NODE_H_

#include <cstdint>
#include <string>

#include "core/attributes.h"
#include "graph/value.h"

namespace gradwire {

struct OpDef;

// Where a node came from: indices into the client's Run and Forward; -1 where there is none.
struct Origin {
  int command = -1;
  int node = -1;
};

// Before it has run, a node holds its inputs. After, a recorded node keeps what its VJP reads, and
// any other keeps nothing. Long chains are torn down without recursion.
class Node : public std::enable_shared_from_this<Node> {
 public:
  Node(const OpDef* op, Values inputs, Attributes attributes, bool recorded)
      : op_(op),
        inputs_(std::move(inputs)),
        attributes_(std::move(attributes)),
        recorded_(recorded) {}
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const OpDef& op() const { return *op_; }
  const Attributes& attributes() const { return attributes_; }
  // What the node is called in messages: the client's node name, or "".
  const std::string& label() const { return label_; }
  void set_label(std::string label) { label_ = std::move(label); }

  const Origin& origin() const { return origin_; }
  void set_origin(const Origin& origin) { origin_ = origin; }

  const Values& inputs() const { return inputs_; }
  size_t num_outputs() const { return outputs_.size(); }
  const SlotPtr& output_slot(int i) const { return outputs_[static_cast<size_t>(i)]; }
  Value output(int i) { return {output_slot(i), shared_from_this(), i}; }
  void AddOutput(TensorSpec spec);

  // Whether an autograd graph keeps this node.
  bool recorded() const { return recorded_; }
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
  Values inputs_;
  Attributes attributes_;
  absl::InlinedVector<SlotPtr, 1> outputs_;
  std::string label_;
  Origin origin_;
  bool recorded_;
  bool freed_ = false;
  bool has_run_ = false;
};

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_NODE_H_
