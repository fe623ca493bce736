// Two sessions on a device, of which one records the work of its plans where the device can; for
// tests.
#ifndef GRADWIRE_TESTS_DEVICE_REPLAY_BENCH_H_
#define GRADWIRE_TESTS_DEVICE_REPLAY_BENCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/unit/repeat_bench.h"

namespace gradwire::testing {

class ReplayBench : public RepeatBench {
 public:
  using RepeatBench::RepeatBench;

  // How many runs of a command were launches of recorded work.
  int64_t ReplaysOf(const std::string& key) {
    const CachedCommandPtr command = cached().commands().Find(key);
    return command == nullptr || command->replay == nullptr ? 0 : command->replay->replayed();
  }

  static Request Drop(const std::vector<std::string>& names) {
    return {"drop", [names](Transaction& t, const std::vector<Tensor>&) {
              t.Delete(names, false);
              return std::vector<NamedItem>();
            }};
  }
  // Binds `name`, a view of an array that nothing else keeps.
  static Request Bind(const std::string& key, const std::string& op, const std::string& name,
                      const std::vector<float>& x) {
    return {key,
            [op, name](Transaction& t, const std::vector<Tensor>& given) {
              t.Forward({.nodes = {Node(op, {"x"}, "y"), Node("Exp", {"y"}, "z"),
                                   Node("Reshape", {"z", "dims"}, name)},
                         .feeds = {{"x", given[0]}},
                         .outputs = {name}});
              return std::vector<NamedItem>();
            },
            {x}};
  }
};

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_DEVICE_REPLAY_BENCH_H_
