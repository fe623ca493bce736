// Commands that come again and again, as training steps do: what one read and what it came to, so
// that it need not be traced again.
#ifndef GRADWIRE_SESSION_COMMAND_CACHE_H_
#define GRADWIRE_SESSION_COMMAND_CACHE_H_

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "exec/plan.h"
#include "exec/replay.h"
#include "session/program.h"
#include "session/steady_reads.h"

namespace gradwire {

// A command, or the commands of one Run, after its trace. It comes to the same again while its
// request is the same but for the elements of the arrays in it, and the session looks the same
// where the trace looked. Immutable, but for what makes it faster.
struct CachedCommand {
  // An array of the session that the trace read: what it must be like.
  struct Read {
    TensorSpec spec;
    std::optional<std::string> leaf;  // the name it was put under, if it collects gradients
    BufferPtr contents;               // where the trace read the elements: these very ones
    int number = kNoArray;            // in the plan
    // Set where a graph outlives the command that has this leaf: it must be the same leaf, or one
    // that `rebound` says is forgotten afterwards.
    std::shared_ptr<const Leaf> known_leaf;
    bool rebound = false;
  };
  // What a name stood for: an index of `reads`, or none.
  struct Name {
    std::string name;
    std::optional<size_t> read;
  };
  // The names of the session that began with a prefix.
  struct Listing {
    std::string prefix;
    std::vector<std::string> names;
  };
  // An array that is bound afterwards: one of `reads`, or a new one of the plan's.
  struct Result {
    std::optional<size_t> read;
    int number = kNoArray;
    std::optional<std::string> leaf;
    NodePtr node;  // of a graph that the command used up; null without
    int index = 0;
  };
  struct Binding {
    std::string name;
    std::optional<size_t> result;  // none: the name is unbound
  };

  std::vector<Read> reads;
  std::vector<Name> names;
  std::vector<Listing> listings;
  std::vector<std::pair<std::string, ProgramPtr>> programs;

  std::vector<int> given;                     // numbers of the arrays in the request, in order
  size_t draws = 0;                           // of seeds
  std::vector<std::pair<int, size_t>> seeds;  // numbers of seeds, and of which draw
  NumberedTensors constants;                  // that the trace made
  Plan plan;
  // What makes it faster. Not immutable: runs of a command do not overlap. Each is null where
  // there is none: no plan would be faster, the device records nothing.
  std::shared_ptr<SteadyReads> steady;
  std::unique_ptr<Replay> replay;

  std::vector<Result> results;
  std::vector<Binding> bindings;
  // Arrays of the answer by the names that the client knows, and the answer without them.
  std::vector<std::pair<std::string, int>> fetched;
  std::vector<int> announced;
  std::string answer;
};
using CachedCommandPtr = std::shared_ptr<const CachedCommand>;

// The commands of one session by what identifies their requests, the least recently used forgotten
// first. Not thread-safe: lives on the session's strand.
class CommandCache {
 public:
  // Keeps at most `capacity` commands; none where it is 0.
  explicit CommandCache(size_t capacity) : capacity_(capacity) {}

  bool enabled() const { return capacity_ > 0; }
  // Null when the command is new.
  CachedCommandPtr Find(const std::string& key);
  // Whether the command is worth being recorded: it came before, and recording has not failed, or
  // been in vain, time and again.
  bool Wants(const std::string& key);
  // Null where it cannot be cached.
  void Store(const std::string& key, CachedCommandPtr command);
  // How long a command that was found ran this time.
  void Took(const std::string& key, std::chrono::nanoseconds time);
  // The shorter of its last two times; nothing where none is known.
  std::optional<std::chrono::nanoseconds> TimeOf(const std::string& key) const;
  // Drops the plans of a program that the session has no more: they would hold it.
  void Forget(const ProgramPtr& program);
  // Forgets all, and with them the arrays that they keep. Whether there was one.
  bool Clear();

 private:
  struct Entry {
    std::string key;
    CachedCommandPtr command;
    int recorded = 0;
    std::optional<std::chrono::nanoseconds> last = {};  // how long it ran
    std::optional<std::chrono::nanoseconds> before = {};
  };

  const size_t capacity_;
  std::list<Entry> entries_;  // most recently used first
  absl::flat_hash_map<std::string_view, std::list<Entry>::iterator> by_key_;
};

}  // namespace gradwire

#endif  // GRADWIRE_SESSION_COMMAND_CACHE_H_
