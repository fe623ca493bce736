// Transaction::Record and Repeat: a command that came before, without its trace.

#include <algorithm>
#include <array>
#include <utility>

#include "graph/formula.h"
#include "session/session.h"
#include "session/transaction.h"

namespace gradwire {
namespace {

// Whether an array of the session is as it was when the command was traced. `holders`: how many of
// the names that the command read stand for it.
bool IsAsRead(const CachedCommand::Read& read, const Value& value, int64_t holders) {
  const auto& leaf = value.leaf();
  if (value.spec() != read.spec || value.grad_fn() != nullptr) return false;
  if ((leaf != nullptr) != read.leaf.has_value()) return false;
  if (leaf != nullptr && leaf->name != *read.leaf) return false;
  if (read.contents != nullptr && value.tensor().buffer() != read.contents) return false;
  const bool forgotten = read.rebound && value.slot().use_count() == holders;
  return read.known_leaf == nullptr || read.known_leaf == leaf || forgotten;
}

}  // namespace

void Transaction::Record(std::string key, std::vector<Tensor> given) {
  recorder_ =
      std::make_unique<Recorder>(std::move(key), std::move(given), session_.options().plans);
}

void Transaction::Answer(std::vector<NamedValue> fetched, std::string answer) {
  if (recorder_ != nullptr) recorder_->Answer(std::move(fetched), std::move(answer));
}

std::optional<std::vector<Value>> Transaction::Match(const CachedCommand& command) const {
  std::vector<const Value*> found(command.reads.size(), nullptr);
  std::vector<int64_t> holders(command.reads.size(), 0);
  for (const auto& [name, read] : command.names) {
    const auto bound = session_.names_.find(name);
    if ((bound != session_.names_.end()) != read.has_value()) return std::nullopt;
    if (!read.has_value()) continue;
    if (!bound->second.is_tensor()) return std::nullopt;
    const Value*& value = found[*read];
    if (value == nullptr) value = &bound->second.tensor();
    if (value->slot() != bound->second.tensor().slot()) return std::nullopt;
    ++holders[*read];
  }
  std::vector<const Slot*> slots;
  for (size_t i = 0; i < found.size(); ++i) {
    if (!IsAsRead(command.reads[i], *found[i], holders[i])) return std::nullopt;
    slots.push_back(found[i]->slot().get());
  }
  std::sort(slots.begin(), slots.end());
  if (std::adjacent_find(slots.begin(), slots.end()) != slots.end()) return std::nullopt;
  for (const auto& [prefix, names] : command.listings) {
    if (NamesWith(prefix) != names) return std::nullopt;
  }
  for (const auto& [name, program] : command.programs) {
    const auto bound = session_.programs_.find(name);
    if (bound == session_.programs_.end() || bound->second != program) return std::nullopt;
  }
  std::vector<Value> values;
  for (const Value* value : found) values.push_back(*value);
  return values;
}

std::optional<std::vector<NamedTensor>> Transaction::Repeat(const CachedCommand& command,
                                                            const std::vector<Tensor>& given) {
  const std::optional<std::vector<Value>> reads = Match(command);
  if (!reads.has_value()) return std::nullopt;
  const SteadyReads::Improved* const steady =
      command.steady != nullptr ? command.steady->Find(*reads, executor_) : nullptr;
  const Plan& plan = steady != nullptr ? steady->plan : command.plan;
  std::vector<Tensor> arrays(plan.specs.size());
  const auto give = [&](int number, const Tensor& tensor) {
    if (number != kNoArray) arrays[static_cast<size_t>(number)] = tensor;
  };
  for (size_t i = 0; i < reads->size(); ++i) {
    give(command.reads[i].number, (*reads)[i].tensor());
  }
  for (size_t i = 0; i < given.size(); ++i) give(command.given[i], given[i]);
  for (const auto& [number, tensor] : steady != nullptr ? steady->constants : command.constants) {
    give(number, tensor);
  }
  std::vector<Tensor> seeds;
  for (size_t i = 0; i < command.draws; ++i) {
    const auto seed = static_cast<int64_t>(trace_.NextSeed());
    seeds.push_back(IntVector(std::array{seed}).tensor());
  }
  for (const auto& [number, draw] : command.seeds) give(number, seeds[draw]);

  std::vector<Value> results;
  for (const CachedCommand::Result& result : command.results) {
    results.push_back(result.read ? (*reads)[*result.read]
                                  : Value(std::make_shared<Slot>(), result.node, result.index));
  }
  for (const auto& [name, result] : command.bindings) {
    changes_[name] = result ? std::optional<Item>(results[*result]) : std::nullopt;
  }
  CheckCounts();
  if (command.replay != nullptr) {
    command.replay->Run(command.plan, arrays, executor_);
  } else {
    executor_.Run(plan, arrays);
  }
  for (size_t i = 0; i < results.size(); ++i) {
    const CachedCommand::Result& result = command.results[i];
    if (result.read) continue;
    Slot& slot = *results[i].slot();
    slot.tensor = arrays[static_cast<size_t>(result.number)];
    slot.spec = slot.tensor.spec();
    slot.state = Slot::State::kReady;
    if (result.leaf) slot.leaf = std::make_shared<Leaf>(Leaf{*result.leaf});
  }
  Apply();
  for (const int number : command.announced) {
    stream_->Prefetch(arrays[static_cast<size_t>(number)].buffer());
  }
  std::vector<NamedTensor> fetched;
  for (const auto& [name, number] : command.fetched) {
    fetched.emplace_back(name, arrays[static_cast<size_t>(number)]);
  }
  return fetched;
}

}  // namespace gradwire
