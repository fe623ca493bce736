// Values: arrays in a traced graph, computed or still to be computed.
//
// A Slot is where an array is (or will be). A Value is a handle to a slot plus, where an operator
// makes it, the node and output index: the edge of the graph. Dropping an array that nobody reads
// again swaps the slot for one that keeps only the spec; the edge stays.
//
// Values, slots and nodes belong to one session and are not thread-safe.
#ifndef GRADWIRE_GRAPH_VALUE_H_
#define GRADWIRE_GRAPH_VALUE_H_

#include <memory>
#include <string>

#include "absl/container/inlined_vector.h"
#include "core/tensor.h"

namespace gradwire {

class Node;
using NodePtr = std::shared_ptr<Node>;

// What makes a value a leaf that collects gradients: its identity, and the name it was put under.
struct Leaf {
  std::string name;
};

struct Slot {
  enum class State {
    kPending,   // to be computed by a node
    kReady,     // `tensor` is the array
    kNotSaved,  // dropped: the operator's rule does not read it
    kFreed,     // dropped by a Backward without retain_graph
  };
  TensorSpec spec;
  Tensor tensor;
  State state = State::kPending;
  std::shared_ptr<const Leaf> leaf;  // set on leaves that require grad
};
using SlotPtr = std::shared_ptr<Slot>;

class Value {
 public:
  // No value: an optional input left out.
  Value() = default;
  Value(SlotPtr slot, NodePtr node, int index)
      : slot_(std::move(slot)), node_(std::move(node)), index_(index) {}
  // A ready array without a graph.
  explicit Value(Tensor tensor);

  explicit operator bool() const { return slot_ != nullptr; }
  const TensorSpec& spec() const { return slot_->spec; }
  DType dtype() const { return slot_->spec.dtype; }
  const Dims& dims() const { return slot_->spec.dims; }
  int rank() const { return slot_->spec.rank(); }
  int64_t numel() const { return slot_->spec.numel(); }

  bool ready() const { return slot_->state == Slot::State::kReady; }
  // The array. REQUIRES: ready().
  const Tensor& tensor() const { return slot_->tensor; }

  // Whether gradients flow through this value: a leaf that collects them, or a recorded result.
  bool requires_grad() const;
  const std::shared_ptr<const Leaf>& leaf() const { return slot_->leaf; }
  // The recorded node that made it; null for leaves and where nothing was recorded.
  NodePtr grad_fn() const;

  const SlotPtr& slot() const { return slot_; }
  const NodePtr& node() const { return node_; }
  int index() const { return index_; }

  // The same edge, without the array: `state` says why.
  Value WithoutTensor(Slot::State state) const;
  // The same array, without the node that made it unless the node is recorded. For bindings that
  // outlive the run. REQUIRES: ready().
  Value WithoutTrace() const;

 private:
  SlotPtr slot_;
  NodePtr node_;
  int index_ = 0;
};

using Values = absl::InlinedVector<Value, 3>;

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_VALUE_H_
