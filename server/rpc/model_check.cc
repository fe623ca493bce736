#include "rpc/model_check.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "core/error.h"
#include "core/utf8.h"
#include "rpc/node.h"

namespace gradwire::rpc {
namespace {

// The newest version of each domain that has versions here.
constexpr std::array<std::pair<std::string_view, int64_t>, 5> kNewest = {{
    {"", kMaxOpset},
    {"ai.onnx.ml", 5},
    {"ai.onnx.preview", 1},
    {"ai.onnx.preview.training", 1},
    {"gradwire", 1},
}};

std::string_view DomainName(std::string_view domain) { return domain.empty() ? "ai.onnx" : domain; }

std::string Describe(const v1::NodeProto& node, int index) {
  const std::string label = node.name().empty() ? "" : fmt::format(" '{}'", node.name());
  return fmt::format("node {}{} ({})", index, label, node.op_type());
}

Error Invalid(std::string message) { return {reason::kInvalidModel, std::move(message)}; }

void CheckImports(const OpsetProtos& protos) {
  OpsetImports imports;
  for (const auto& import : protos) {
    const std::string domain = import.domain() == "ai.onnx" ? "" : import.domain();
    const auto [known, fresh] = imports.emplace(domain, import.version());
    if (!fresh && known->second != import.version()) {
      throw Invalid(fmt::format("opsets {} and {} of domain {} are imported", known->second,
                                import.version(), DomainName(domain)));
    }
    if (import.version() < 1) {
      throw Invalid(fmt::format("opset {} of domain {} does not exist", import.version(),
                                DomainName(domain)));
    }
    if (import.version() > NewestOpset(domain)) {
      throw Invalid(
          fmt::format("opset {} of domain {} is newer than {}, the newest that this server knows",
                      import.version(), DomainName(domain), NewestOpset(domain)));
    }
  }
}

// One scope of names, a graph's or a function's: each is made once, and before it is read. A graph
// among the attributes of a node is a scope that sees the one around it, whose names it may hide.
class Scope {
 public:
  Scope(const OpsetProtos& imports, const std::set<std::string>& functions, bool in_function)
      : imports_(DecodeImports(imports)), functions_(functions), in_function_(in_function) {}
  Scope(const Scope& outer, const v1::GraphProto& graph)
      : imports_(outer.imports_),
        functions_(outer.functions_),
        in_function_(outer.in_function_),
        outer_(&outer) {
    AddGraph(graph);
  }

  void AddGraph(const v1::GraphProto& graph) {
    if (outer_ != nullptr && graph.sparse_initializer_size() > 0) {
      throw Error(reason::kOpUnsupported,
                  fmt::format("initializer '{}' is sparse, which is not supported in a graph "
                              "within a node: make it dense",
                              graph.sparse_initializer(0).values().name()));
    }
    for (const auto& input : graph.input()) AddInput(input.name());
    for (const auto& initializer : graph.initializer()) AddInitializer(initializer.name());
    for (const auto& initializer : graph.sparse_initializer()) {
      AddInitializer(initializer.values().name());
    }
    AddNodes(graph.node());
    for (const auto& output : graph.output()) CheckOutput(output.name());
  }

  void AddInput(const std::string& name) {
    CheckUtf8(name);
    if (name.empty()) throw Invalid(fmt::format("input {} has no name", makers_.size()));
    if (!makers_.emplace(name, "an input").second) {
      throw Invalid(fmt::format("there are two inputs '{}'", name));
    }
  }

  void AddNodes(const NodeProtos& nodes) {
    for (int i = 0; i < nodes.size(); ++i) {
      try {
        AddNode(nodes, i);
      } catch (Error& error) {
        error.Prefix(Describe(nodes[i], i) + " ");
        if (outer_ != nullptr) throw;
        error.With("node", std::to_string(i)).With("op", nodes[i].op_type());
        if (!nodes[i].name().empty()) error.With("node_name", nodes[i].name());
        throw;
      }
    }
  }

  void CheckOutput(const std::string& name) const {
    if (!Knows(name)) throw Invalid(fmt::format("nothing makes the output '{}'", name));
  }

 private:
  bool Knows(const std::string& name) const {
    return makers_.contains(name) || (outer_ != nullptr && outer_->Knows(name));
  }

  // An initializer may be the default of an input.
  void AddInitializer(const std::string& name) {
    CheckUtf8(name);
    if (name.empty()) throw Invalid("an initializer has no name");
    if (!initializers_.insert(name).second) {
      throw Invalid(fmt::format("there are two initializers '{}'", name));
    }
    makers_.emplace(name, "an initializer");
  }

  void AddNode(const NodeProtos& nodes, int i) {
    const v1::NodeProto& node = nodes[i];
    if (node.op_type().empty()) throw Invalid("has no op_type");
    for (const std::string& name : {node.op_type(), node.domain(), node.name()}) CheckUtf8(name);
    const std::string domain = node.domain() == "ai.onnx" ? "" : node.domain();
    if (!imports_.contains(domain) && !functions_.contains(FunctionId(node))) {
      throw Invalid(fmt::format("is of domain {}, which is not imported", DomainName(domain)));
    }
    for (const std::string& name : node.input()) {
      if (!name.empty() && !Knows(name)) throw Invalid(WhyUndefined(nodes, i, name));
    }
    CheckAttributes(node);
    for (const std::string& name : node.output()) {
      if (name.empty()) continue;
      CheckUtf8(name);
      const auto [found, fresh] = makers_.emplace(name, fmt::format("made by node {}", i));
      if (!fresh) throw Invalid(fmt::format("makes '{}', which is {}", name, found->second));
    }
  }

  static std::string WhyUndefined(const NodeProtos& nodes, int reader, const std::string& name) {
    for (int i = reader; i < nodes.size(); ++i) {
      for (const std::string& output : nodes[i].output()) {
        if (output != name) continue;
        if (i == reader) return fmt::format("reads '{}', which it makes itself", name);
        return fmt::format("reads '{}' before {} makes it: nodes come after what they read", name,
                           Describe(nodes[i], i));
      }
    }
    return fmt::format("reads '{}', which nothing makes", name);
  }

  void CheckAttributes(const v1::NodeProto& node) const {
    std::set<std::string_view> names;
    for (const auto& attribute : node.attribute()) {
      if (attribute.name().empty()) throw Invalid("has an attribute without a name");
      if (!names.insert(attribute.name()).second) {
        throw Invalid(fmt::format("has two attributes '{}'", attribute.name()));
      }
      if (!in_function_ && !attribute.ref_attr_name().empty()) {
        throw Invalid(fmt::format("refers to attribute '{}' outside of any function",
                                  attribute.ref_attr_name()));
      }
    }
    for (const auto& [name, graph] : GraphsOf(node)) {
      CheckUtf8(name);
      try {
        Scope(*this, *graph);
      } catch (Error& error) {
        error.Prefix(fmt::format("has a graph '{}': ", name));
        throw;
      }
    }
  }

  const std::map<std::string, int64_t> imports_;
  const std::set<std::string>& functions_;
  const bool in_function_;
  const Scope* const outer_ = nullptr;
  // What makes each name, in words.
  absl::flat_hash_map<std::string, std::string> makers_;
  absl::flat_hash_set<std::string> initializers_;
};

void CheckGraph(const v1::ModelProto& model, const std::set<std::string>& functions) {
  Scope(model.opset_import(), functions, /*in_function=*/false).AddGraph(model.graph());
}

void CheckFunction(const v1::FunctionProto& function, const std::set<std::string>& functions) {
  if (function.name().empty()) throw Invalid("the function has no name");
  CheckImports(function.opset_import());
  Scope scope(function.opset_import(), functions, /*in_function=*/true);
  for (const std::string& input : function.input()) scope.AddInput(input);
  scope.AddNodes(function.node());
  std::set<std::string> outputs;
  for (const std::string& output : function.output()) {
    scope.CheckOutput(output);
    if (!outputs.insert(output).second) {
      throw Invalid(fmt::format("there are two outputs '{}'", output));
    }
  }
}

std::string IdOf(std::string_view domain, std::string_view name, std::string_view overload) {
  return fmt::format("{}::{}{}{}", DomainName(domain), name, overload.empty() ? "" : ":", overload);
}

}  // namespace

std::string FunctionId(const v1::FunctionProto& function) {
  return IdOf(function.domain(), function.name(), function.overload());
}

std::string FunctionId(const v1::NodeProto& node) {
  return IdOf(node.domain(), node.op_type(), node.overload());
}

void CheckUtf8(const std::string& name) {
  if (!IsUtf8(name)) throw Invalid(fmt::format("the name '{}' is not UTF-8", name));
}

int64_t NewestOpset(const std::string& domain) {
  for (const auto& [name, newest] : kNewest) {
    if (domain == name) return newest;
  }
  return INT64_MAX;
}

void CheckModel(const v1::ModelProto& model) {
  if (model.ir_version() < 1 || model.ir_version() > kMaxIrVersion) {
    throw Invalid(fmt::format("IR version {} is not one that this server knows: 1 to {}",
                              model.ir_version(), kMaxIrVersion));
  }
  CheckImports(model.opset_import());
  std::set<std::string> functions;
  for (const auto& function : model.functions()) {
    if (!functions.insert(FunctionId(function)).second) {
      throw Invalid(fmt::format("there are two functions {}", FunctionId(function)));
    }
  }
  for (const auto& function : model.functions()) {
    try {
      CheckFunction(function, functions);
    } catch (Error& error) {
      error.Prefix(fmt::format("function {}: ", FunctionId(function)));
      throw;
    }
  }
  CheckGraph(model, functions);
}

}  // namespace gradwire::rpc
