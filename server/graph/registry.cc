#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "core/error.h"
#include "graph/op.h"

namespace gradwire {
namespace {

// Rows of one name, oldest first. Keys view the string literals of the rows.
using Versions = std::vector<OpDef>;
using Key = std::pair<std::string_view, std::string_view>;

std::map<Key, Versions>& Table() {
  static auto* table = new std::map<Key, Versions>();  // never destroyed: rows outlive all
  return *table;
}

std::string FullName(const OpDef& op) {
  return fmt::format("{}{}{}-{}", op.domain, op.domain.empty() ? "" : "::", op.name, op.since);
}

void ValidateRow(const OpDef& op, std::vector<std::string>& complaints) {
  const auto complain = [&](std::string_view what) {
    complaints.push_back(fmt::format("{}: {}", FullName(op), what));
  };
  if (op.cpu == nullptr && op.decompose == nullptr && op.structured == nullptr && !op.alias) {
    complain("has neither a CPU kernel nor a decomposition nor a rule");
  }
  if ((op.cpu != nullptr || op.alias) && op.infer == nullptr) complain("has a kernel but no infer");
  if (op.differentiable && !HasGradient(op)) {
    complain(
        "has no vjp, no decomposition, no rule, and does not say that it is not differentiable");
  }
  if (!op.differentiable && op.vjp != nullptr) complain("has a vjp but says not differentiable");
  if (op.types.empty()) complain("lists no element type");
}

}  // namespace

Registry& Registry::Global() {
  static Registry registry;
  return registry;
}

bool Registry::Add(OpDef op) {
  Versions& versions = Table()[{op.domain, op.name}];
  const auto at = std::find_if(versions.begin(), versions.end(),
                               [&](const OpDef& other) { return other.since > op.since; });
  versions.insert(at, std::move(op));
  return true;
}

bool Registry::AddKernel(std::string_view domain, std::string_view name, int since,
                         DeviceType device, Kernel kernel, const KernelTraits& traits) {
  for (OpDef& op : Table()[{domain, name}]) {
    if (op.since != since) continue;
    (device == DeviceType::kCuda ? op.cuda : op.cpu) = kernel;
    if (device == DeviceType::kCuda) op.cuda_traits = traits;
    return true;
  }
  return false;
}

bool Registry::AddFunctor(std::string_view domain, std::string_view name, int since,
                          const FunctorDef& functor) {
  for (OpDef& op : Table()[{domain, name}]) {
    if (op.since != since) continue;
    op.functor = functor;
    return true;
  }
  return false;
}

const OpDef* Registry::Find(std::string_view domain, std::string_view name, int64_t version) const {
  const auto found = Table().find({domain == "ai.onnx" ? "" : domain, name});
  if (found == Table().end()) return nullptr;
  const OpDef* best = nullptr;
  for (const OpDef& op : found->second) {
    if (op.since <= version) best = &op;
  }
  return best;
}

const OpDef& Registry::Latest(std::string_view name, std::string_view domain) const {
  const OpDef* op = Find(domain, name, INT64_MAX);
  if (op != nullptr) return *op;
  throw Error(reason::kOpUnsupported, fmt::format("operator {}{}{} is not supported", domain,
                                                  domain.empty() ? "" : "::", name))
      .With("op", std::string(name));
}

std::vector<const OpDef*> Registry::All() const {
  std::vector<const OpDef*> all;
  for (const auto& [key, versions] : Table()) {
    for (const OpDef& op : versions) all.push_back(&op);
  }
  return all;
}

std::vector<std::string> Registry::Validate() const {
  std::vector<std::string> complaints;
  const OpDef* previous = nullptr;
  for (const OpDef* op : All()) {
    ValidateRow(*op, complaints);
    if (previous != nullptr && FullName(*previous) == FullName(*op)) {
      complaints.push_back(FullName(*op) + ": is registered twice");
    }
    previous = op;
  }
  return complaints;
}

}  // namespace gradwire
