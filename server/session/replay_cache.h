// Answers by sequence number, so that a retried command is not executed twice.
#ifndef GRADWIRE_SESSION_REPLAY_CACHE_H_
#define GRADWIRE_SESSION_REPLAY_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

namespace gradwire {

// Keeps the last 64 answers of a session, and of these at most 16 MiB. Not thread-safe: lives on
// the session's strand.
class ReplayCache {
 public:
  // The serialized answer under a sequence number, or nullptr when it is new (or forgotten).
  // `payload` is a hash of the request's bytes; throws SEQUENCE_REUSED when another payload came
  // under this number.
  const std::string* Find(uint64_t sequence, uint64_t payload) const;
  void Store(uint64_t sequence, uint64_t payload, std::string answer);

 private:
  static constexpr size_t kMaxEntries = 64;
  static constexpr size_t kMaxBytes = size_t{16} << 20;
  struct Entry {
    uint64_t sequence;
    uint64_t payload;
    std::string answer;
  };
  std::deque<Entry> entries_;  // oldest first
  size_t bytes_ = 0;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_REPLAY_CACHE_H_
