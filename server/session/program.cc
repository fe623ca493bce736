#include "session/program.h"

#include <fmt/format.h>

#include <set>

namespace gradwire {
namespace {

// The newest version of a domain that this server knows; domains of one version only are not
// limited.
int64_t VersionOf(const std::string& domain, const OpsetImports& imports) {
  const auto found = imports.find(domain == "ai.onnx" ? "" : domain);
  if (found != imports.end()) return found->second;
  return domain.empty() || domain == "ai.onnx" ? kMaxOpset : INT64_MAX;
}

}  // namespace

void ResolveOp(NodeDef& node, const std::string& domain, const OpsetImports& imports) {
  const int64_t version = VersionOf(domain, imports);
  const bool is_default = domain.empty() || domain == "ai.onnx";
  if (is_default && version > kMaxOpset) {
    node.refusal = Error(reason::kOpUnsupported,
                         fmt::format("opset {} is newer than {}, the newest that this server knows",
                                     version, kMaxOpset));
    return;
  }
  node.op = Registry::Global().Find(domain, node.op_type, version);
  if (node.op != nullptr) return;
  const std::string full = is_default ? node.op_type : domain + "::" + node.op_type;
  const bool known = Registry::Global().Find(domain, node.op_type, INT64_MAX) != nullptr;
  node.refusal =
      Error(reason::kOpUnsupported,
            known ? fmt::format("operator {} is not supported in opset {}", full, version)
                  : fmt::format("operator {} is not supported", full));
}

std::string Describe(const NodeDef& node, size_t index) {
  const std::string label = node.label.empty() ? "" : fmt::format(" '{}'", node.label);
  return fmt::format("node {}{} ({})", index, label, node.op_type);
}

std::vector<std::string> Program::Operators() const {
  std::set<std::string> names;
  for (const NodeDef& node : nodes) names.insert(node.op_type);
  return {names.begin(), names.end()};
}

std::vector<std::string> Program::Unsupported() const {
  std::set<std::string> names;
  for (const NodeDef& node : nodes) {
    if (node.refusal.has_value()) names.insert(node.op_type);
  }
  return {names.begin(), names.end()};
}

}  // namespace gradwire
