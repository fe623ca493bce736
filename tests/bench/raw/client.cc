// The measuring client of the benchmarks `rpc`, `transfer` and `scale`: reads a JSON object a line,
// does what its "do" says (measure.h), and answers with a line. Knows nothing of gradwire.

#include <cstdio>
#include <iostream>

#include "measure.h"

namespace gradwire::bench {
namespace {

json Measure(Setting& setting, const json& in) {
  const std::string what = in.at("do");
  if (what == "calls") return Calls(setting, in);
  if (what == "stream") return Stream(setting, in);
  if (what == "put") return Put(setting, in);
  if (what == "fetch") return Fetch(setting, in);
  if (what == "memcpy") return Memcpy(setting, in);
  if (what != "disconnect") throw std::runtime_error("there is no '" + what + "'");
  setting.Disconnect();
  return json::object();
}

int Main() {
  KeepFreedMemory();
  Setting setting;
  for (std::string line; std::getline(std::cin, line);) {
    json out;
    try {
      out = Measure(setting, json::parse(line));
    } catch (const std::exception& exception) {
      out = {{"error", exception.what()}};
    }
    std::cout << out.dump() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace gradwire::bench

int main() { return gradwire::bench::Main(); }
