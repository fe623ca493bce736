// What simulated users do, read from a text file. One word-separated statement a line; `#` begins a
// comment; indentation is for the reader.
//
//   scenario NAME [weight N]      begins a scenario; a user takes one, as often as its weight says
//   loop N                        what follows is repeated N times; what came before is done once,
//                                 after the session is opened. Then the session is closed, and the
//                                 user begins anew.
//   think fixed|exponential TIME  a pause before the next call (closed loop only)
//   call NAME                     begins a round trip: one command goes by its own RPC, more by Run
//     put NAME TYPE[DIMS] FILL [grad]
//                                 TYPE float32 with FILL zeros, ones or random SCALE (from -SCALE
//                                 to SCALE), or int64 with FILL classes N (from 0 to N - 1)
//     OUT = OP IN... [ATTRIBUTE=VALUE...]
//                                 a node; an integer, float, or list of integers (2,2) as value
//     backward ROOT...
//     step sgd|adam RATE          moves all leaves that have a gradient, and drops the gradients
//     fetch NAME...               what it brings is verified
//     delete NAME...
#ifndef GRADWIRE_BENCH_SCENARIO_H_
#define GRADWIRE_BENCH_SCENARIO_H_

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "gradwire/v1/gradwire.pb.h"

namespace gradwire::bench {

// One round trip.
struct Call {
  std::string name;
  // The pause before it; its mean where exponential.
  std::chrono::nanoseconds think{0};
  bool exponential = false;
  // One for each variant of the data: what a user puts depends on its variant, so that answers to
  // one are wrong for another.
  std::vector<v1::RunRequest> requests;
};

struct Scenario {
  std::string name;
  int weight = 1;
  int loops = 1;
  std::vector<Call> setup;
  std::vector<Call> loop;

  // All calls of a session's life, by their order in it.
  size_t size() const { return setup.size() + loops * loop.size(); }
  const Call& call(size_t index) const {
    return index < setup.size() ? setup[index] : loop[(index - setup.size()) % loop.size()];
  }
};

// What is wrong with a file, with the number of the line.
class ScenarioError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Reads scenarios for `variants` variants of the data. Throws ScenarioError.
std::vector<Scenario> ParseScenarios(const std::string& text, int variants);

}  // namespace gradwire::bench

#endif  // GRADWIRE_BENCH_SCENARIO_H_
