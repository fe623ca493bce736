#include "session/command_cache.h"

#include <algorithm>
#include <utility>

namespace gradwire {
namespace {

// A training loop settles in its second step, when the optimizer's state is there. What still
// changes after so many records is not worth them.
constexpr int kMaxRecords = 8;

}  // namespace

CachedCommandPtr CommandCache::Find(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->command;
}

bool CommandCache::Wants(const std::string& key) {
  if (!enabled()) return false;
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    return found->second->recorded < kMaxRecords;
  }
  entries_.push_front({key, nullptr, 0});
  by_key_[entries_.front().key] = entries_.begin();
  if (entries_.size() > capacity_) {
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
  return false;
}

bool CommandCache::Clear() {
  const bool any = std::any_of(entries_.begin(), entries_.end(),
                               [](const Entry& entry) { return entry.command != nullptr; });
  by_key_.clear();
  entries_.clear();
  return any;
}

void CommandCache::Store(const std::string& key, CachedCommandPtr command) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  found->second->command = std::move(command);
  found->second->last.reset();
  found->second->before.reset();
  ++found->second->recorded;
}

void CommandCache::Took(const std::string& key, std::chrono::nanoseconds time) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  Entry& entry = *found->second;
  entry.before = std::exchange(entry.last, time);
}

// A command that takes long but once may have lost its CPU for a while.
std::optional<std::chrono::nanoseconds> CommandCache::TimeOf(const std::string& key) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  const Entry& entry = *found->second;
  return entry.before ? std::min(entry.last, entry.before) : entry.last;
}

void CommandCache::Forget(const ProgramPtr& program) {
  for (Entry& entry : entries_) {
    if (entry.command == nullptr) continue;
    const auto& programs = entry.command->programs;
    const bool reads = std::any_of(programs.begin(), programs.end(),
                                   [&](const auto& read) { return read.second == program; });
    if (reads) entry.command = nullptr;
  }
}

}  // namespace gradwire
