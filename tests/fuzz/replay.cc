// Runs a target on files, without libFuzzer: gradwire_fuzz TARGET FILE...; without arguments it
// lists the targets. Says which file it is at, for the one that ends it.

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/target.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    for (const auto& [name, target] : gradwire::fuzz::Targets()) std::printf("%s\n", name.c_str());
    return 0;
  }
  const auto found = gradwire::fuzz::Targets().find(argv[1]);
  gradwire::fuzz::Expect(found != gradwire::fuzz::Targets().end(), "there is no such target");
  for (int i = 2; i < argc; ++i) {
    std::fprintf(stderr, "%s\n", argv[i]);
    std::ifstream file(argv[i], std::ios::binary);
    gradwire::fuzz::Expect(file.is_open(), "the file cannot be read");
    found->second(std::string(std::istreambuf_iterator<char>(file), {}));
  }
  std::printf("%d files\n", argc - 2);
  return 0;
}
