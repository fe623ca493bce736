#include "session/recorder.h"

#include <algorithm>
#include <set>

#include "absl/container/flat_hash_set.h"
#include "autograd/backward.h"
#include "backend/on_host.h"
#include "exec/improve.h"

namespace gradwire {
namespace {

// Of arrays whose elements decide a shape; the cache keeps them alive.
constexpr size_t kMaxContentBytes = size_t{1} << 16;

// Of a plan. What is longer spends its time in operators; plans are booked with no quota.
constexpr size_t kMaxSteps = size_t{1} << 15;

// Arrays that must be there before any of `values` can be computed.
std::vector<SlotPtr> Sources(std::span<const Value> values) {
  std::vector<SlotPtr> sources;
  std::vector<Value> pending(values.begin(), values.end());
  absl::flat_hash_set<const Node*> seen;
  while (!pending.empty()) {
    const Value value = std::move(pending.back());
    pending.pop_back();
    if (!value) continue;
    if (value.ready()) {
      sources.push_back(value.slot());
    } else if (seen.insert(value.node().get()).second) {
      const Values& inputs = value.node()->inputs();
      pending.insert(pending.end(), inputs.begin(), inputs.end());
    }
  }
  return sources;
}

// What is computed again draws what was drawn.
std::vector<uint64_t> EachOnce(const std::vector<uint64_t>& drawn) {
  std::vector<uint64_t> seeds;
  std::set<uint64_t> seen;
  for (const uint64_t seed : drawn) {
    if (seen.insert(seed).second) seeds.push_back(seed);
  }
  return seeds;
}

bool MayBeSeed(const Slot& slot) { return slot.spec == TensorSpec{DType::kInt64, {1}}; }

// Which of the seeds the array is.
std::optional<size_t> DrawOf(const Slot& slot, const std::vector<uint64_t>& seeds, Stream& stream) {
  if (seeds.empty() || !MayBeSeed(slot)) return std::nullopt;
  const auto element = static_cast<uint64_t>(*OnHost(slot.tensor, stream).data<int64_t>());
  const auto seed = std::find(seeds.begin(), seeds.end(), element);
  if (seed == seeds.end()) return std::nullopt;
  return static_cast<size_t>(seed - seeds.begin());
}

bool IsWatched(const NodePtr& node) { return node->watch() != nullptr; }

}  // namespace

Recorder::Recorder(std::string key, std::vector<Tensor> given, const PlanOptions& options)
    : key_(std::move(key)),
      first_serial_(Node::LastSerial()),
      given_(std::move(given)),
      options_(options) {}

std::optional<size_t> Recorder::ReadOf(const Slot* slot) const {
  const auto found = read_of_.find(slot);
  if (found == read_of_.end()) return std::nullopt;
  return found->second;
}

void Recorder::Saw(const std::string& name, const Item* item) {
  if (!names_.insert(name).second) return;
  if (item == nullptr) {
    command_->names.push_back({name, std::nullopt});
    return;
  }
  if (!item->is_tensor()) return Refuse();
  const Value* const value = &item->tensor();
  if (value->grad_fn() != nullptr) Refuse();
  std::optional<size_t> read = ReadOf(value->slot().get());
  if (!read) {
    read = reads_.size();
    reads_.push_back(value->slot());
    read_of_[value->slot().get()] = *read;
    CachedCommand::Read& seen = command_->reads.emplace_back();
    seen.spec = value->spec();
    if (value->leaf() != nullptr) seen.leaf = value->leaf()->name;
  }
  command_->names.push_back({name, read});
}

void Recorder::Saw(const std::string& prefix, const std::vector<std::string>& names) {
  command_->listings.push_back({prefix, names});
}

void Recorder::Saw(const std::string& name, const ProgramPtr& program) {
  command_->programs.emplace_back(name, program);
}

void Recorder::WillRead(std::span<const Value> values) {
  for (const SlotPtr& source : Sources(values)) {
    if (const auto read = ReadOf(source.get())) {
      if (source->tensor.bytes() > kMaxContentBytes) Refuse();
      command_->reads[*read].contents = source->tensor.buffer();
    }
    if (std::any_of(given_.begin(), given_.end(), [&](const Tensor& given) {
          return given.buffer() == source->tensor.buffer();
        })) {
      Refuse();
    }
    if (MayBeSeed(*source)) read_sources_.push_back(source);
  }
}

void Recorder::Answer(std::vector<std::pair<std::string, Value>> fetched, std::string answer) {
  fetched_ = std::move(fetched);
  command_->answer = std::move(answer);
}

size_t Recorder::ResultOf(const Value& value, PlanBuilder& builder) {
  const auto known = std::find(results_.begin(), results_.end(), value.slot());
  if (known != results_.end()) return static_cast<size_t>(known - results_.begin());
  results_.push_back(value.slot());
  CachedCommand::Result& result = command_->results.emplace_back();
  result.read = ReadOf(value.slot().get());
  if (!result.read) {
    result.number = builder.Keep(value.slot());
    if (value.leaf() != nullptr) result.leaf = value.leaf()->name;
    result.node = value.grad_fn();
    result.index = value.index();
  }
  return results_.size() - 1;
}

void Recorder::Number(PlanBuilder& builder, const std::vector<uint64_t>& seeds, Stream& stream) {
  command_->given.assign(given_.size(), kNoArray);
  for (const auto& [slot, number] : builder.Given()) {
    if (slot->state != Slot::State::kReady) return Refuse();
    if (const auto read = ReadOf(slot.get())) {
      command_->reads[*read].number = number;
      continue;
    }
    const auto given = std::find_if(
        given_.begin(), given_.end(),
        [&slot = slot](const Tensor& tensor) { return tensor.buffer() == slot->tensor.buffer(); });
    if (given != given_.end()) {
      int& known = command_->given[static_cast<size_t>(given - given_.begin())];
      if (known != kNoArray) return Refuse();
      known = number;
      continue;
    }
    if (const auto draw = DrawOf(*slot, seeds, stream)) {
      command_->seeds.emplace_back(number, *draw);
      continue;
    }
    command_->constants.emplace_back(number, slot->tensor);
  }
  // What a random number decided is not decided for the next one.
  for (const SlotPtr& source : read_sources_) {
    if (DrawOf(*source, seeds, stream)) return Refuse();
  }
  // A seed that went elsewhere would be the same again.
  std::set<size_t> found;
  for (const auto& [number, draw] : command_->seeds) found.insert(draw);
  if (found.size() != seeds.size()) Refuse();
  command_->draws = seeds.size();
}

void Recorder::Before(const Schedule& schedule, const Changes& changes,
                      const std::vector<uint64_t>& drawn, Stream& stream) {
  if (schedule.size() > kMaxSteps) return Refuse();
  if (!possible_ || std::any_of(schedule.begin(), schedule.end(), IsWatched)) return Refuse();
  PlanBuilder builder(schedule, stream.device().type);
  for (const auto& [name, item] : changes) {
    std::optional<size_t> result;
    if (item.has_value() && !item->is_tensor()) return Refuse();
    if (item.has_value()) result = ResultOf(item->tensor(), builder);
    command_->bindings.push_back({name, result});
  }
  for (const auto& [name, value] : fetched_) {
    command_->fetched.emplace_back(name, builder.Keep(value.slot()));
  }
  for (const Value& value : announced_) {
    command_->announced.push_back(builder.Keep(value.slot()));
  }
  Number(builder, EachOnce(drawn), stream);
  command_->plan = builder.Build();
}

// Whether the graph behind a bound result may be shared by all later runs: none of it is from
// before, all of it is used up, and its leaves are the session's.
bool Recorder::IsUsedUp(const Value& value, const Changes& changes) {
  for (const NodePtr& node : GraphBehind(std::array{value})) {
    if (node->serial() <= first_serial_ || !node->freed()) return false;
  }
  for (const Value& leaf : LeavesOf(std::array{value})) {
    const auto found = std::find_if(reads_.begin(), reads_.end(),
                                    [&](const SlotPtr& read) { return read->leaf == leaf.leaf(); });
    if (found == reads_.end()) return false;
    const auto index = static_cast<size_t>(found - reads_.begin());
    CachedCommand::Read& read = command_->reads[index];
    read.known_leaf = leaf.leaf();
    read.rebound = std::all_of(command_->names.begin(), command_->names.end(),
                               [&](const CachedCommand::Name& name) {
                                 return name.read != index || changes.contains(name.name);
                               });
  }
  return true;
}

// Null where no operator would gain by it.
std::shared_ptr<SteadyReads> Recorder::WatchReads(Executor& executor) const {
  const Plan& plan = command_->plan;
  if (executor.stream().device().type != DeviceType::kCpu ||
      std::none_of(plan.steps.begin(), plan.steps.end(),
                   [](const PlanStep& step) { return step.op->packs != kPacksNothing; })) {
    return nullptr;
  }
  absl::flat_hash_set<std::string_view> bound;
  for (const auto& [name, result] : command_->bindings) bound.insert(name);
  std::vector<int> numbers(command_->reads.size(), kNoArray);
  bool some = false;
  for (const auto& [name, read] : command_->names) {
    if (!read.has_value() || bound.contains(name)) continue;
    numbers[*read] = command_->reads[*read].number;
    some = some || numbers[*read] != kNoArray;
  }
  if (!some) return nullptr;
  return std::make_shared<SteadyReads>(plan, command_->constants, std::move(numbers), options_);
}

CachedCommandPtr Recorder::After(const Changes& changes, Executor& executor) {
  for (const auto& [name, item] : changes) {
    if (!possible_) break;
    if (!item.has_value()) continue;
    const Value& value = item->tensor();
    if (value.grad_fn() != nullptr && !IsUsedUp(value, changes)) Refuse();
  }
  if (!possible_) return nullptr;
  command_->steady = WatchReads(executor);
  command_->constants = Improve(command_->plan, std::move(command_->constants), options_, executor);
  if (options_.record && executor.stream().can_capture() && !command_->plan.steps.empty()) {
    std::vector<int> fresh;
    for (const int number : command_->given) {
      if (number != kNoArray) fresh.push_back(number);
    }
    for (const auto& [number, draw] : command_->seeds) fresh.push_back(number);
    command_->replay = std::make_unique<Replay>(command_->plan, std::move(fresh));
  }
  return std::move(command_);
}

}  // namespace gradwire
