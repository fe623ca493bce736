// What the functions of an OpDef see of one call.
#ifndef GRADWIRE_GRAPH_OP_CALL_H_
#define GRADWIRE_GRAPH_OP_CALL_H_

#include <span>
#include <string>
#include <vector>

#include "core/attributes.h"
#include "core/error.h"
#include "graph/op.h"

namespace gradwire {

// A call during the trace, for `infer` and `decompose`. Inputs may not be computed yet.
class OpCall {
 public:
  OpCall(const OpDef& op, const Values& inputs, const Attributes& attributes, int num_outputs)
      : op_(op), inputs_(inputs), attributes_(attributes), num_outputs_(num_outputs) {}

  const OpDef& op() const { return op_; }
  const Attributes& attributes() const { return attributes_; }
  size_t num_inputs() const { return inputs_.size(); }
  // How many outputs the caller asked for.
  int num_outputs() const { return num_outputs_; }

  // Whether input i was given.
  bool has(size_t i) const { return i < inputs_.size() && inputs_[i]; }
  // Input i; an absent Value when it was left out.
  Value input(size_t i) const { return i < inputs_.size() ? inputs_[i] : Value(); }
  const Values& inputs() const { return inputs_; }
  // Of input i. Throws INVALID_ARGUMENT when it was left out.
  const TensorSpec& spec(size_t i) const;
  const Dims& dims(size_t i) const { return spec(i).dims; }
  int rank(size_t i) const { return static_cast<int>(dims(i).size()); }
  DType dtype(size_t i) const { return spec(i).dtype; }

  // The elements of an integer or bool input, which is computed now if it was not: for parameters
  // that decide a shape. Throws DTYPE_MISMATCH for other types.
  std::vector<int64_t> Ints(size_t i) const;
  // The elements of an input of any number type, likewise.
  std::vector<double> Numbers(size_t i) const;
  // The one element of an integer or bool input, likewise; SHAPE_MISMATCH unless there is one.
  int64_t Int(size_t i) const;
  // The one element of an input of any number type, likewise.
  double Scalar(size_t i) const;
  // Attribute `name` normalised as an axis of input i.
  int Axis(std::string_view name, int64_t fallback, size_t i = 0) const;

  // Throws DTYPE_MISMATCH unless input i, where it was given, is of one of the types.
  void RequireType(size_t i, DTypeSet types) const;
  // Throws DTYPE_MISMATCH unless input i has the type of input 0.
  void RequireSameType(size_t i) const;

 private:
  const OpDef& op_;
  const Values& inputs_;
  const Attributes& attributes_;
  int num_outputs_;
};

// A recorded call on the way back, for `vjp`.
class VjpCall {
 public:
  VjpCall(Node& node, const Values& dy, std::vector<bool> flows, std::vector<bool> needs);

  // Whether the call's kernel took 16-bit floats as they are, while its derivative is computed in
  // float32: all that is told of here is of that type then, and so are the gradients.
  bool widened() const { return widened_; }

  const Attributes& attributes() const { return node_.attributes(); }
  // The node's own derivative, null where it has none.
  const Rule* rule() const { return node_.rule().get(); }
  size_t num_inputs() const { return node_.inputs().size(); }
  bool has(size_t i) const { return i < num_inputs() && node_.inputs()[i]; }
  // Whether the gradient of input i is wanted.
  bool needs(size_t i) const { return i < needs_.size() && needs_[i]; }
  // Input or output i of the forward call, its graph included. Throws GRAPH_FREED when an earlier
  // backward freed it, INTERNAL when the row's `saves` does not name it.
  Value input(size_t i) const;
  Value output(size_t i) const;
  // Specs are always known.
  TensorSpec input_spec(size_t i) const { return Widened(node_.inputs()[i].spec()); }
  TensorSpec output_spec(size_t i) const {
    return Widened(node_.output_slot(static_cast<int>(i))->spec);
  }
  size_t num_outputs() const { return node_.num_outputs(); }
  // Gradient of output i; zeros where the roots do not depend on it.
  const Value& dy(size_t i = 0) const { return dy_[i]; }
  // Whether the roots depend on output i: otherwise what dy(i) would add need not be computed.
  bool flows(size_t i) const { return flows_[i]; }

 private:
  Value Saved(const Value& value, const char* kind, size_t i) const;
  Value Widened(const Value& value) const;
  TensorSpec Widened(TensorSpec spec) const;

  Node& node_;
  const bool widened_;
  Values dy_;
  std::vector<bool> flows_;
  std::vector<bool> needs_;
};

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_OP_CALL_H_
