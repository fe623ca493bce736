// Notes what a transaction reads and what it comes to, as a CachedCommand.
#ifndef GRADWIRE_SESSION_RECORDER_H_
#define GRADWIRE_SESSION_RECORDER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "backend/backend.h"
#include "exec/executor.h"
#include "graph/item.h"
#include "session/command_cache.h"

namespace gradwire {

// Follows one transaction from its first verb to its commit. Lives on the session's strand.
class Recorder {
 public:
  using Changes = std::map<std::string, std::optional<Item>>;

  // `given`: the arrays of the request, in its order.
  Recorder(std::string key, std::vector<Tensor> given, const PlanOptions& options);

  const std::string& key() const { return key_; }

  // What the trace looked at: a name of the session (null where it is unbound), the names with a
  // prefix, a program, and elements.
  void Saw(const std::string& name, const Item* item);
  void Saw(const std::string& prefix, const std::vector<std::string>& names);
  void Saw(const std::string& name, const ProgramPtr& program);
  void WillRead(std::span<const Value> values);

  // What is to be answered, once all verbs are traced.
  void Answer(std::vector<std::pair<std::string, Value>> fetched, std::string answer);
  // What will be fetched soon.
  void Announce(std::vector<Value> announced) { announced_ = std::move(announced); }
  // Before the traced nodes run: `changes` are the session's, `drawn` the seeds.
  void Before(const Schedule& schedule, const Changes& changes, const std::vector<uint64_t>& drawn,
              Stream& stream);
  // After. Computes with `executor` what is the same in each run. Null where the command cannot be
  // cached: where a sequence is read or bound, too.
  CachedCommandPtr After(const Changes& changes, Executor& executor);

 private:
  std::optional<size_t> ReadOf(const Slot* slot) const;
  void Number(PlanBuilder& builder, const std::vector<uint64_t>& seeds, Stream& stream);
  size_t ResultOf(const Value& value, PlanBuilder& builder);
  std::shared_ptr<SteadyReads> WatchReads(Executor& executor) const;
  bool IsUsedUp(const Value& value, const Changes& changes);
  // Gives up.
  void Refuse() { possible_ = false; }

  const std::string key_;
  const uint64_t first_serial_;
  const std::vector<Tensor> given_;
  const PlanOptions options_;
  std::shared_ptr<CachedCommand> command_ = std::make_shared<CachedCommand>();
  std::vector<SlotPtr> reads_;  // by index of command_->reads
  absl::flat_hash_map<const Slot*, size_t> read_of_;
  std::vector<SlotPtr> read_sources_;  // what elements were computed from that may be a seed
  absl::flat_hash_set<std::string> names_;
  std::vector<std::pair<std::string, Value>> fetched_;
  std::vector<Value> announced_;
  std::vector<SlotPtr> results_;  // by index of command_->results
  bool possible_ = true;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_RECORDER_H_
