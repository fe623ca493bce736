// Operators that are a rule of the trace: their inputs and outputs may be sequences and optionals,
// and their attributes graphs. A rule calls other operators and traces graphs, as often as the data
// asks for; derivatives are those of what it calls.
#ifndef GRADWIRE_GRAPH_STRUCTURED_H_
#define GRADWIRE_GRAPH_STRUCTURED_H_

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/attributes.h"
#include "graph/item.h"
#include "graph/op.h"

namespace gradwire {

// A graph among the attributes of a call. It sees the names around the call.
class Body {
 public:
  virtual ~Body() = default;
  virtual size_t num_inputs() const = 0;
  virtual size_t num_outputs() const = 0;
  // What the graph declares of output i, where it says all of it.
  virtual std::optional<TensorSpec> OutputSpec(size_t i) const = 0;
  virtual DType OutputType(size_t i) const = 0;  // kUndefined where it does not say
  // Traces the graph. REQUIRES: num_inputs() inputs. Throws DTYPE_MISMATCH where an input or output
  // is not what the graph declares.
  virtual Items operator()(const Items& inputs) const = 0;
};

// One call of such an operator.
class StructuredCall {
 public:
  using Bodies = std::map<std::string, std::unique_ptr<const Body>, std::less<>>;
  using Types = std::map<std::string, ItemType, std::less<>>;

  StructuredCall(const OpDef& op, Items inputs, Attributes attributes, int num_outputs,
                 Bodies bodies = {}, Types types = {});

  const OpDef& op() const { return op_; }
  const Attributes& attributes() const { return attributes_; }
  int num_outputs() const { return num_outputs_; }
  size_t num_inputs() const { return inputs_.size(); }
  bool has(size_t i) const { return i < inputs_.size() && inputs_[i]; }
  const Items& inputs() const { return inputs_; }
  // Input i. Throw INVALID_ARGUMENT where it was left out, or is none.
  const Item& input(size_t i) const;
  const Value& tensor(size_t i) const;
  SequenceView sequence(size_t i) const;
  // The one element of an integer or bool input, which is computed now if it was not. Throws
  // DTYPE_MISMATCH, SHAPE_MISMATCH.
  int64_t Int(size_t i) const;

  // The graph or type of this name; null where it is not given.
  const Body* FindBody(std::string_view name) const;
  const ItemType* FindType(std::string_view name) const;
  // Throws INVALID_ARGUMENT where there is none, or it has not as many inputs, or fewer outputs.
  const Body& GetBody(std::string_view name, size_t inputs, size_t min_outputs) const;

 private:
  const OpDef& op_;
  const Items inputs_;
  const Attributes attributes_;
  const int num_outputs_;
  const Bodies bodies_;
  const Types types_;
};

// Whether a call with these inputs is its row's rule; otherwise it is Apply's.
bool IsStructured(const OpDef& op, const Items& inputs);

// Traces one call. Throws as Apply does.
Items ApplyStructured(const StructuredCall& call);

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_STRUCTURED_H_
