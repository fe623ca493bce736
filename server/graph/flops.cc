#include "graph/flops.h"

#include <map>
#include <utility>

namespace gradwire {
namespace {

using Key = std::pair<std::string_view, std::string_view>;

std::map<Key, Flops>& Table() {
  static std::map<Key, Flops> table;
  return table;
}

}  // namespace

bool CountFlops(std::string_view domain, std::string_view name, Flops flops) {
  return Table().emplace(Key(domain, name), flops).second;
}

Flops FlopsOf(const OpDef& op) {
  const auto found = Table().find(Key(op.domain, op.name));
  return found == Table().end() ? nullptr : found->second;
}

}  // namespace gradwire
