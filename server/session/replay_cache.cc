#include "session/replay_cache.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"

namespace gradwire {

const std::string* ReplayCache::Find(uint64_t sequence, uint64_t payload) const {
  for (const Entry& entry : entries_) {
    if (entry.sequence != sequence) continue;
    if (entry.payload == payload) return &entry.answer;
    throw Error(reason::kSequenceReused,
                fmt::format("sequence {} was used before with another request", sequence));
  }
  return nullptr;
}

void ReplayCache::Store(uint64_t sequence, uint64_t payload, std::string answer) {
  bytes_ += answer.size();
  entries_.push_back({sequence, payload, std::move(answer)});
  while (entries_.size() > kMaxEntries || (bytes_ > kMaxBytes && entries_.size() > 1)) {
    bytes_ -= entries_.front().answer.size();
    entries_.pop_front();
  }
}

}  // namespace gradwire
