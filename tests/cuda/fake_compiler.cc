#include "tests/cuda/fake_compiler.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <sstream>

#include "core/error.h"
#include "tests/cuda/fake_driver.h"

namespace gradwire::testing {
namespace {

// The source's file is named by what is in it, so that ccache knows it again.
GeneratedKernelPtr Compile(const std::string& source) {
  const std::string stem = fmt::format("{}gradwire_chain_{:016x}", ::testing::TempDir(),
                                       std::hash<std::string>()(source));
  std::ofstream(stem + ".cc") << source;
  const std::string command = fmt::format(
      "{{ {0} -std=c++20 -O1 -fPIC -I{1} -c {2}.cc -o {2}.o && {0} -shared {2}.o -o {2}.so; }} "
      ">{2}.log 2>&1",
      GRADWIRE_TEST_COMPILER, GRADWIRE_TEST_INCLUDES, stem);
  // NOLINTNEXTLINE(bugprone-command-processor): of the build's compiler and a name made here
  if (std::system(command.c_str()) != 0) {
    std::stringstream log;
    log << std::ifstream(stem + ".log").rdbuf();
    throw Error(reason::kOpUnsupported, log.str());
  }
  void* const library = dlopen((stem + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
  void* const loop = library == nullptr ? nullptr : dlsym(library, "RunChain");
  if (loop == nullptr) throw Error(reason::kInternal, dlerror());
  return std::make_shared<FakeKernel>(reinterpret_cast<FakeKernel::Loop>(loop));
}

}  // namespace

GeneratedKernelPtr CompileForTests(const std::string& source) {
  static std::mutex mutex;
  static std::map<std::string, GeneratedKernelPtr> kernels;  // guarded
  const std::lock_guard lock(mutex);
  GeneratedKernelPtr& kernel = kernels[source];
  if (kernel == nullptr) kernel = Compile(source);
  return kernel;
}

GeneratedKernelPtr FakeDriver::Compile(const std::string& source) {
  if (!compiles_) throw Error(reason::kOpUnsupported, "there is no compiler");
  return CompileForTests(source);
}

void FakeDriver::Launch(Queue queue, const GeneratedKernel& kernel, int64_t count,
                        std::span<const std::byte> argument) {
  std::vector<uint64_t> words(argument.size() / sizeof(uint64_t));
  std::memcpy(words.data(), argument.data(), argument.size());
  const FakeKernel::Loop loop = dynamic_cast<const FakeKernel&>(kernel).loop();
  RunKernel(queue, [=] { loop(count, words.data()); });
}

}  // namespace gradwire::testing
