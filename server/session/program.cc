#include "session/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <type_traits>
#include <utility>
#include <variant>

namespace gradwire {
namespace {

// The newest version of a domain that this server knows; domains of one version only are not
// limited.
int64_t VersionOf(const std::string& domain, const OpsetImports& imports) {
  const auto found = imports.find(domain == "ai.onnx" ? "" : domain);
  if (found != imports.end()) return found->second;
  return domain.empty() || domain == "ai.onnx" ? kMaxOpset : INT64_MAX;
}

// "Relu", "com.example::Relu".
std::string FullName(const NodeDef& node) {
  return node.domain.empty() ? node.op_type : node.domain + "::" + node.op_type;
}

struct BytesOf {
  int64_t operator()(int64_t) const { return 0; }
  int64_t operator()(double) const { return 0; }
  int64_t operator()(const std::string& text) const { return std::ssize(text); }
  int64_t operator()(const Tensor& tensor) const {
    auto bytes = static_cast<int64_t>(tensor.bytes());
    for (const auto& pool : tensor.buffer()->held()) bytes += static_cast<int64_t>(pool->bytes());
    return bytes;
  }
  template <class T>
  int64_t operator()(const std::vector<T>& list) const {
    auto bytes = static_cast<int64_t>(list.size() * sizeof(T));
    if constexpr (std::is_same_v<T, std::string>) {
      for (const std::string& text : list) bytes += std::ssize(text);
    }
    return bytes;
  }
};

}  // namespace

void ResolveOp(NodeDef& node, const std::string& domain, const OpsetImports& imports) {
  const int64_t version = VersionOf(domain, imports);
  node.domain = domain == "ai.onnx" ? "" : domain;
  if (node.domain.empty() && version > kMaxOpset) {
    node.refusal = Error(reason::kOpUnsupported,
                         fmt::format("opset {} is newer than {}, the newest that this server knows",
                                     version, kMaxOpset));
    return;
  }
  node.op = Registry::Global().Find(node.domain, node.op_type, version);
  if (node.op != nullptr) return;
  const bool known = Registry::Global().Find(node.domain, node.op_type, INT64_MAX) != nullptr;
  node.refusal =
      Error(reason::kOpUnsupported,
            known ? fmt::format("operator {} is not supported in opset {}", FullName(node), version)
                  : fmt::format("operator {} is not supported", FullName(node)));
}

void Place(Error& error, const NodeDef& node) {
  const std::string label = node.label.empty() ? "" : fmt::format(" '{}'", node.label);
  error.Prefix(fmt::format("node {}{} ({}): ", node.index, label, node.op_type));
  error.With("node", std::to_string(node.index)).With("op", node.op_type);
  if (!node.label.empty()) error.With("node_name", node.label);
}

void CheckDeclared(const char* kind, const ValueInfo& info, const TensorSpec& spec) {
  if (info.dtype == DType::kUndefined || info.dtype == spec.dtype) return;
  throw Error(reason::kDtypeMismatch, fmt::format("{} '{}' is declared {}, got {}", kind, info.name,
                                                  Name(info.dtype), ToString(spec)))
      .With("tensor", info.name);
}

void CheckDeclared(const char* kind, const ValueInfo& info, const Item& item) {
  const ItemType declared{info.dtype, info.sequence, info.optional};
  if (declared == ItemType()) return;
  if (item.is_tensor() && !info.sequence) return CheckDeclared(kind, info, item.tensor().spec());
  const ItemType type = item.type();
  if (item.is_empty() && info.optional && type.dtype == DType::kUndefined) return;
  const bool same = declared.dtype == type.dtype || declared.dtype == DType::kUndefined ||
                    type.dtype == DType::kUndefined;
  if (same && type.sequence == info.sequence && (info.optional || !type.optional)) return;
  throw Error(reason::kDtypeMismatch, fmt::format("{} '{}' is declared {}, got {}", kind, info.name,
                                                  ToString(declared), ToString(item)))
      .With("tensor", info.name);
}

ValueInfo InfoOf(const std::string& name, const TensorSpec& spec) {
  ValueInfo info{name, spec.dtype, std::vector<ValueInfo::Dim>()};
  for (const int64_t extent : spec.dims) info.dims->push_back({extent, ""});
  return info;
}

ValueInfo InfoOf(const std::string& name, const Item& item) {
  if (item.is_tensor()) return InfoOf(name, item.tensor().spec());
  const ItemType type = item.type();
  return {name, type.dtype, std::nullopt, type.sequence, type.optional};
}

void ForEachNode(const std::vector<NodeDef>& nodes,
                 const std::function<void(const NodeDef&)>& visit) {
  for (const NodeDef& node : nodes) {
    visit(node);
    for (const auto& [name, graph] : node.graphs) ForEachNode(graph->nodes, visit);
  }
}

int64_t Program::Bytes() const {
  const BytesOf bytes_of;
  int64_t bytes = std::ssize(onnx);
  ForEachNode(nodes, [&](const NodeDef& node) {
    bytes += static_cast<int64_t>(sizeof(NodeDef)) + bytes_of(node.label) + bytes_of(node.inputs) +
             bytes_of(node.outputs) + bytes_of(node.captures);
    for (const auto& [name, value] : node.attributes.entries()) {
      bytes += static_cast<int64_t>(sizeof(Attributes::Entry)) + std::visit(bytes_of, value);
    }
    for (const auto& [name, graph] : node.graphs) {
      for (const auto& [constant, tensor] : graph->constants) bytes += bytes_of(tensor);
    }
  });
  return bytes;
}

std::vector<std::string> Program::Operators() const {
  return NamesWhere([](const NodeDef&) { return true; });
}

std::vector<std::string> Program::Unsupported() const {
  return NamesWhere([](const NodeDef& node) { return node.refusal.has_value(); });
}

std::vector<std::string> Program::NotDifferentiable() const {
  return NamesWhere(
      [](const NodeDef& node) { return !node.refusal.has_value() && !HasGradient(*node.op); });
}

std::vector<std::string> Program::NamesWhere(
    const std::function<bool(const NodeDef&)>& wanted) const {
  std::set<std::string> names;
  ForEachNode(nodes, [&](const NodeDef& node) {
    if (wanted(node)) names.insert(FullName(node));
  });
  return {names.begin(), names.end()};
}

std::vector<std::string> Program::DynamicDims() const {
  std::vector<std::string> names;
  for (const ValueInfo& input : inputs) {
    if (!input.dims.has_value()) continue;
    for (const ValueInfo::Dim& dim : *input.dims) {
      const bool seen = std::find(names.begin(), names.end(), dim.name) != names.end();
      if (!dim.name.empty() && !seen) names.push_back(dim.name);
    }
  }
  return names;
}

}  // namespace gradwire
