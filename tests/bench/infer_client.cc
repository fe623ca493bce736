// What a user of the C++ client would write to have a model run: the benchmark `infer` times it.
// Usage: gradwire-infer-client TARGET MODEL REQUEST, where MODEL is an ONNX file, and REQUEST one
// that holds a ForwardRequest of the program "model" whose session is left out. Reads a number N a
// line: calls once, then N times, and answers with the mean seconds of these. At first it writes
// the raw data, in hexadecimal, of the first array that a call fetched.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "absl/strings/escaping.h"
#include "gradwire/client.h"

namespace gw = gradwire::client;

namespace {

using Clock = std::chrono::steady_clock;

std::string ReadFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(std::string("cannot read ") + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Serve(gw::Session& session, const gradwire::v1::ForwardRequest& request) {
  const gradwire::v1::ForwardResponse answer = session.Forward(request);
  if (answer.fetched_size() == 0) throw std::runtime_error("the request fetches no array");
  std::cout << absl::BytesToHexString(answer.fetched(0).raw_data()) << std::endl;
  for (int64_t calls = 0; std::cin >> calls;) {
    session.Forward(request);
    const Clock::time_point began = Clock::now();
    for (int64_t i = 0; i < calls; ++i) session.Forward(request);
    const std::chrono::duration<double> time = Clock::now() - began;
    std::cout << time.count() / static_cast<double>(calls) << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int kUsage = 2;
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s TARGET MODEL REQUEST\n", argv[0]);
    return kUsage;
  }
  try {
    gradwire::v1::ForwardRequest request;
    if (!request.ParseFromString(ReadFile(argv[3]))) {
      throw std::runtime_error(std::string(argv[3]) + " is no ForwardRequest");
    }
    gw::Client client(argv[1]);
    gw::Session session = client.OpenSession();
    session.LoadProgram("model", ReadFile(argv[2]));
    Serve(session, request);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
