// Nodes and programs, traced by the names of what they read and make.
#ifndef GRADWIRE_SESSION_TRACE_NODES_H_
#define GRADWIRE_SESSION_TRACE_NODES_H_

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/trace.h"
#include "session/program.h"

namespace gradwire {

// What names stand for among nodes.
using Environment = std::map<std::string, Item>;
// What a name stands for that is not among them; throws TENSOR_NOT_FOUND.
using LookOutside = std::function<Item(const std::string&)>;
using NodesPtr = std::shared_ptr<const std::vector<NodeDef>>;

// While it lives the trace's origin may be changed; afterwards it is what it was.
class OriginScope {
 public:
  OriginScope() : before_(Trace::Current().origin()) {}
  ~OriginScope() { Trace::Current().origin() = before_; }
  OriginScope(const OriginScope&) = delete;
  OriginScope& operator=(const OriginScope&) = delete;

 private:
  const Origin before_;
};

// The name of the gradient of `name`: "grad/w" of "w".
std::string GradName(const std::string& name);

// What a name stands for among nodes, or outside.
Item Find(const std::string& name, const Environment& environment, const LookOutside& look_outside);

// Throws INVALID_ARGUMENT, naming it, for what is no tensor.
const Value& TensorOf(const std::string& name, const Item& item);

// The names that a node reads: its inputs, and what graphs among its attributes read from outside,
// or what a Gradient differentiates.
std::vector<std::string> ReadsOf(const NodeDef& node);

// Traces a node and adds what it makes to the environment. Graphs among its attributes see the
// environment and what is outside.
void TraceNode(const NodeDef& node, Environment& environment, const LookOutside& look_outside);

// Calls `trace` for each node, as the origin of what it traces. Its errors say which node it was,
// and of which program where one is given.
void TraceEach(const Program* program, std::span<const NodeDef> nodes,
               const std::function<void(const NodeDef&)>& trace);

// Traces nodes in order. Errors say which node.
void TraceNodes(std::span<const NodeDef> nodes, Environment& environment,
                const LookOutside& look_outside);

// The same, in `spans` spans of about equally many nodes, each a Checkpoint. Of what a span
// makes, only what later nodes read, `bound` and `fetched` come into the environment. A span ends,
// too, where a name of `bound` is made, so that there are gradients with respect to it.
void TraceCheckpointed(const NodesPtr& nodes, size_t spans, const std::vector<std::string>& bound,
                       const std::vector<std::string>& fetched, Environment& environment,
                       const LookOutside& look_outside);

// Traces a program. While the trace records, one that has a VJP program gets its gradient by it.
// `look_in_session` finds the parameters of VJP programs by their session names.
void TraceProgram(const ProgramPtr& program, Environment& environment,
                  const LookOutside& look_outside, const LookOutside& look_in_session);

// Throws DTYPE_MISMATCH where a program makes another element type than it declares.
void CheckOutputs(const Program& program, const Environment& made);

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_TRACE_NODES_H_
