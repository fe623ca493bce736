#include "session/transaction.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "core/error.h"
#include "core/utf8.h"
#include "graph/formula.h"
#include "session/session.h"

namespace gradwire {
namespace {

constexpr std::string_view kGradPrefix = "grad/";
constexpr size_t kMaxNameBytes = 512;

void CheckName(const std::string& name) {
  if (name.empty() || name.size() > kMaxNameBytes) {
    throw Error(reason::kInvalidArgument, fmt::format("a tensor's name has 1 to {} bytes, got {}",
                                                      kMaxNameBytes, name.size()));
  }
  if (IsUtf8(name)) return;
  throw Error(reason::kInvalidArgument, fmt::format("the name '{}' is not UTF-8", name));
}

// What a BatchNormalization reads as running mean and variance is followed, not trained.
std::set<std::string> RunningStatistics(const Program& program) {
  std::set<std::string> names;
  ForEachNode(program.nodes, [&](const NodeDef& node) {
    if (node.op_type != "BatchNormalization") return;
    for (size_t i = 3; i < node.inputs.size(); ++i) names.insert(node.inputs[i]);
  });
  return names;
}

}  // namespace

Transaction::Transaction(Session& session, std::function<void()> between_ops)
    : session_(session),
      stream_(session.stream_),
      random_state_(session.random_state_),
      executor_(*stream_, std::move(between_ops)),
      trace_(*stream_, *this, random_state_),
      scope_(trace_) {}

Transaction::~Transaction() {
  if (committed_) return;
  for (const NodePtr& node : freed_) node->MarkFreed(false);
}

const Item* Transaction::FindItem(const std::string& name) const {
  if (const auto changed = changes_.find(name); changed != changes_.end()) {
    return changed->second.has_value() ? &*changed->second : nullptr;
  }
  const auto found = session_.names_.find(name);
  const Item* item = found == session_.names_.end() ? nullptr : &found->second;
  if (recorder_ != nullptr) recorder_->Saw(name, item);
  return item;
}

const Item& Transaction::LookItem(const std::string& name) const {
  if (const Item* item = FindItem(name)) return *item;
  throw Error(reason::kTensorNotFound, fmt::format("there is no tensor '{}'", name))
      .With("tensor", name);
}

const Value* Transaction::Find(const std::string& name) const {
  const Item* item = FindItem(name);
  return item == nullptr ? nullptr : &TensorOf(name, *item);
}

const Value& Transaction::Look(const std::string& name) const {
  return TensorOf(name, LookItem(name));
}

void Transaction::Bind(const std::string& name, Item item) {
  CheckName(name);
  changes_[name] = std::move(item);
}

void Transaction::Unbind(const std::string& name) { changes_[name] = std::nullopt; }

TensorInfo Transaction::Info(const std::string& name, const Item& item) const {
  TensorInfo info{.name = name, .is_leaf = true, .device = session_.device(), .type = item.type()};
  info.spec.dtype = info.type.dtype;
  for (const Value& value : item.tensors()) {
    const NodePtr node = value.grad_fn();
    info.requires_grad |= value.requires_grad();
    info.is_leaf &= node == nullptr;
    if (item.is_tensor()) {
      info.spec = value.spec();
      if (node) info.grad_fn = node->op().name;
    } else {
      info.elements.push_back(value.spec());
    }
  }
  std::string grad = std::string(kGradPrefix) + name;
  if (FindItem(grad) != nullptr) info.grad = std::move(grad);
  return info;
}

void Transaction::Evaluate(std::span<const Value> values) {
  if (recorder_ != nullptr) recorder_->WillRead(values);
  executor_.Evaluate(values);
}

std::vector<std::string> Transaction::NamesWith(const std::string& prefix) const {
  std::set<std::string> names;
  const auto starts = [&](const std::string& name) { return name.starts_with(prefix); };
  for (auto it = session_.names_.lower_bound(prefix);
       it != session_.names_.end() && starts(it->first); ++it) {
    names.insert(it->first);
  }
  if (recorder_ != nullptr) recorder_->Saw(prefix, {names.begin(), names.end()});
  for (auto it = changes_.lower_bound(prefix); it != changes_.end() && starts(it->first); ++it) {
    if (it->second.has_value()) {
      names.insert(it->first);
    } else {
      names.erase(it->first);
    }
  }
  return {names.begin(), names.end()};
}

void Transaction::Target(const Item& item) {
  const Values tensors = item.tensors();
  targets_.insert(targets_.end(), tensors.begin(), tensors.end());
}

void Transaction::Announce(const Item& item) {
  Target(item);
  const Values tensors = item.tensors();
  announced_.insert(announced_.end(), tensors.begin(), tensors.end());
}

std::vector<Value> Transaction::LookAll(const std::vector<std::string>& names) const {
  std::vector<Value> values;
  for (const std::string& name : names) values.push_back(Look(name));
  return values;
}

std::vector<TensorInfo> Transaction::Put(std::vector<NamedTensor> tensors, bool requires_grad) {
  std::vector<TensorInfo> infos;
  for (auto& [name, tensor] : tensors) {
    if (requires_grad && !kGradTypes.Contains(tensor.dtype())) {
      throw Error(reason::kDtypeMismatch,
                  fmt::format("only Tensors of floating point and complex dtype can require "
                              "gradients; '{}' is {}",
                              name, ToString(tensor.spec())))
          .With("tensor", name);
    }
    Value value(std::move(tensor));
    if (requires_grad) value.slot()->leaf = std::make_shared<Leaf>(Leaf{name});
    Bind(name, value);
    infos.push_back(Info(name, value));
  }
  return infos;
}

std::vector<NamedItem> Transaction::Fetch(const std::vector<std::string>& names) {
  std::vector<NamedItem> fetched;
  for (const std::string& name : names) {
    fetched.emplace_back(name, LookItem(name));
    Target(fetched.back().second);
  }
  return fetched;
}

TensorInfo Transaction::Detach(const std::string& from, const std::string& to, bool requires_grad) {
  const Value& source = Look(from);
  if (requires_grad && !kGradTypes.Contains(source.dtype())) {
    throw Error(reason::kDtypeMismatch,
                fmt::format("only Tensors of floating point and complex dtype can require "
                            "gradients; '{}' is {}",
                            from, ToString(source.spec())))
        .With("tensor", from);
  }
  const RecordingScope recording(false);
  Value detached = Call("gradwire::Detach", {source});
  if (requires_grad) detached.slot()->leaf = std::make_shared<Leaf>(Leaf{to});
  Bind(to, detached);
  return Info(to, detached);
}

TensorInfo Transaction::Copy(const std::string& from, const std::string& to) {
  const Item item = LookItem(from);
  Bind(to, item);
  return Info(to, item);
}

void Transaction::Delete(const std::vector<std::string>& names, bool missing_ok) {
  for (const std::string& name : names) {
    if (!missing_ok) LookItem(name);
    Unbind(name);
  }
}

std::vector<TensorInfo> Transaction::ListTensors(const std::string& prefix) const {
  std::vector<TensorInfo> infos;
  for (const std::string& name : NamesWith(prefix)) infos.push_back(Info(name, LookItem(name)));
  return infos;
}

TensorInfo Transaction::DescribeTensor(const std::string& name) const {
  return Info(name, LookItem(name));
}

Value Transaction::GetGraph(const std::string& name) const { return Look(name); }

void Transaction::LoadProgram(Program program, std::vector<NamedTensor> initializers,
                              bool trainable) {
  if (program.name.empty()) {
    throw Error(reason::kInvalidArgument, "a program needs a name");
  }
  const std::set<std::string> statistics = RunningStatistics(program);
  for (auto& [name, tensor] : initializers) {
    const bool leaf =
        trainable && kGradTypes.Contains(tensor.dtype()) && !statistics.contains(name);
    std::vector<NamedTensor> one;
    one.emplace_back(program.parameters.at(name), std::move(tensor));
    Put(std::move(one), leaf);
  }
  RequireNoVjpOf(program.name);
  std::string name = program.name;
  programs_[std::move(name)] = std::make_shared<const Program>(std::move(program));
}

void Transaction::UnloadProgram(const std::string& name) {
  if (!session_.programs_.contains(name)) {
    throw Error(reason::kProgramNotFound, fmt::format("there is no program '{}'", name))
        .With("program", name);
  }
  RequireNoVjpOf(name);
  programs_[name] = nullptr;
}

void Transaction::CheckCounts() const {
  // How many entries of `changes` bind what `bound` does not, less those that unbind.
  const auto growth = [](const auto& bound, const auto& changes, auto is_bound) {
    int64_t count = 0;
    for (const auto& [name, change] : changes) {
      count += static_cast<int64_t>(is_bound(change)) - static_cast<int64_t>(bound.contains(name));
    }
    return count;
  };
  const auto check = [](const char* what, int64_t limit, size_t used, int64_t added) {
    if (added > 0) CheckQuota(what, limit, static_cast<int64_t>(used), added);
  };
  check("max_session_tensors", session_.options().max_tensors, session_.names_.size(),
        growth(session_.names_, changes_, [](const auto& value) { return value.has_value(); }));
  check("max_session_programs", session_.options().max_programs, session_.programs_.size(),
        growth(session_.programs_, programs_, [](const auto& p) { return p != nullptr; }));
}

void Transaction::Commit() {
  CheckCounts();
  std::vector<Value> targets = targets_;
  for (const auto& [name, value] : changes_) {
    if (!value.has_value()) continue;
    const Values tensors = value->tensors();
    targets.insert(targets.end(), tensors.begin(), tensors.end());
  }
  if (recorder_ != nullptr) {
    recorder_->Announce(announced_);
    recorder_->Before(MakeSchedule(targets), changes_, trace_.seeds(), *stream_);
  }
  executor_.Evaluate(targets);
  if (move_to_ != nullptr) session_.Move(*move_to_, [this] { Poll(); });
  Apply();
  for (const Value& value : announced_) stream_->Prefetch(value.tensor().buffer());
  if (recorder_ != nullptr)
    session_.commands_.Store(recorder_->key(), recorder_->After(changes_, executor_));
}

void Transaction::Apply() {
  for (auto& [name, value] : changes_) {
    if (value.has_value()) {
      session_.names_[name] = value->WithoutTrace();
    } else {
      session_.names_.erase(name);
    }
  }
  for (auto& [name, program] : programs_) {
    if (const auto old = session_.programs_.extract(name)) session_.commands_.Forget(old.mapped());
    if (program != nullptr) session_.programs_[name] = std::move(program);
  }
  for (const NodePtr& node : freed_) {
    if (node->has_run()) node->DropFreed();
  }
  session_.tensor_count_ = static_cast<int64_t>(session_.names_.size());
  session_.random_state_ = random_state_;
  committed_ = true;
}

}  // namespace gradwire
