#include "graph/kernel.h"

#include <fmt/format.h>

#include <string>

#include "graph/op.h"

namespace gradwire {

// What a check that was put off says of its call stands, whichever call it ends.
void SayWhere(const OpDef& op, const Origin& origin, Error& error) {
  if (error.metadata().contains("op")) return;
  std::string where;
  if (origin.command >= 0) where += fmt::format("command {}: ", origin.command);
  if (origin.node >= 0) where += fmt::format("node {} ", origin.node);
  if (!origin.label.empty()) where += fmt::format("'{}' ", origin.label);
  error.Prefix(fmt::format("{}({}): ", where, op.name));
  error.With("op", std::string(op.name));
  if (origin.command >= 0) error.With("command", std::to_string(origin.command));
  if (origin.node >= 0) error.With("node", std::to_string(origin.node));
  if (!origin.label.empty()) error.With("node_name", origin.label);
}

void KernelContext::CheckLater(const Buffer& from, size_t bytes, const Stream::ArrayCheck& check) {
  if (op_ == nullptr) return stream_.CheckLater(from, bytes, check);
  stream_.CheckLater(from, bytes, [check, op = op_, origin = *origin_](const void* elements) {
    try {
      check(elements);
    } catch (Error& error) {
      SayWhere(*op, origin, error);
      throw;
    }
  });
}

}  // namespace gradwire
