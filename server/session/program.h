// Programs: ONNX nodes in our own words, ready to be traced.
#ifndef GRADWIRE_SESSION_PROGRAM_H_
#define GRADWIRE_SESSION_PROGRAM_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/quota.h"
#include "core/error.h"
#include "graph/op.h"

namespace gradwire {

struct GradientDef;
struct GraphDef;
using GraphPtr = std::shared_ptr<const GraphDef>;

// One operator call by names. What this server cannot run is kept with the reason, and refused when
// it is run.
struct NodeDef {
  std::string op_type;
  std::string label;  // the client's node name, or ""
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  Attributes attributes;
  const OpDef* op = nullptr;
  std::optional<Error> refusal;
  std::string domain;  // "" for ai.onnx
  int index = 0;       // of the client's node that this is, or is a part of
  // Attributes that are graphs or types, and the names that the graphs read from outside.
  std::map<std::string, GraphPtr> graphs = {};
  std::map<std::string, ItemType> types = {};
  std::vector<std::string> captures = {};
  // Of a Gradient (session/gradient_node.h): what it differentiates.
  std::shared_ptr<const GradientDef> gradient = nullptr;
};

// Opset version by domain; the newest where a domain is missing.
using OpsetImports = std::map<std::string, int64_t>;

// Sets the domain and finds the row for it and op_type under the imports, or the refusal that says
// why there is none.
void ResolveOp(NodeDef& node, const std::string& domain, const OpsetImports& imports);

// Says in an error which node it is about: "node 3 'fc1' (Gemm): " and the metadata.
void Place(Error& error, const NodeDef& node);

// A value that a program takes or makes. Extents: a number, a name, or unknown; of a sequence or an
// optional they are not kept.
struct ValueInfo {
  struct Dim {
    std::optional<int64_t> extent;
    std::string name;
  };
  std::string name;
  DType dtype = DType::kUndefined;
  std::optional<std::vector<Dim>> dims;
  bool sequence = false;
  bool optional = false;
};
ValueInfo InfoOf(const std::string& name, const TensorSpec& spec);
ValueInfo InfoOf(const std::string& name, const Item& item);

// A graph among the attributes of a node.
struct GraphDef {
  std::string name;
  std::vector<NodeDef> nodes;
  std::vector<ValueInfo> inputs;
  std::vector<ValueInfo> outputs;
  std::vector<std::pair<std::string, Tensor>> constants;  // initializers, on the host
};
// Calls `visit` for each node, and each in graphs of its own.
void ForEachNode(const std::vector<NodeDef>& nodes,
                 const std::function<void(const NodeDef&)>& visit);

// `kind` is "input" or "output". Throws DTYPE_MISMATCH where the declared element type is another.
// Extents are not compared: many a model declares the batch that it was exported with, and the
// nodes check their shapes.
void CheckDeclared(const char* kind, const ValueInfo& info, const TensorSpec& spec);
// The same of what is one, and where a tensor, a sequence or an empty optional is declared another.
void CheckDeclared(const char* kind, const ValueInfo& info, const Item& item);
struct Program;
using ProgramPtr = std::shared_ptr<const Program>;

struct Program {
  std::string name;
  std::vector<NodeDef> nodes;
  std::vector<ValueInfo> inputs;  // initializers left out
  std::vector<ValueInfo> outputs;
  // Session name of each initializer.
  std::map<std::string, std::string> parameters;
  // The program as an onnx.ModelProto whose initializers are inputs; for SaveSession.
  std::string onnx;
  // What the program takes of the session's memory besides its parameters.
  std::shared_ptr<const Booking> booked = nullptr;
  // Computes the program's gradient in place of its operators; null where these do.
  ProgramPtr vjp = nullptr;

  // Bytes of the nodes and of `onnx`.
  int64_t Bytes() const;
  // Operators used, those that cannot run here, and those of the others that no gradient flows
  // through, as OP or DOMAIN::OP; sorted, each once.
  std::vector<std::string> Operators() const;
  std::vector<std::string> Unsupported() const;
  std::vector<std::string> NotDifferentiable() const;
  // Names of the extents that inputs leave open, in order of appearance.
  std::vector<std::string> DynamicDims() const;

 private:
  std::vector<std::string> NamesWhere(const std::function<bool(const NodeDef&)>& wanted) const;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_PROGRAM_H_
