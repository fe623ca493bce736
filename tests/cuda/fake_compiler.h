// A run-time compiler for the device that the CPU plays: the C++ compiler that made the tests.
#ifndef GRADWIRE_TESTS_CUDA_FAKE_COMPILER_H_
#define GRADWIRE_TESTS_CUDA_FAKE_COMPILER_H_

#include <string>

#include "backend/backend.h"

namespace gradwire::testing {

// A kernel of ops/chain_kernel.h as a loop.
class FakeKernel : public GeneratedKernel {
 public:
  using Loop = void (*)(int64_t count, const void* argument);
  explicit FakeKernel(Loop loop) : loop_(loop) {}
  Loop loop() const { return loop_; }

 private:
  const Loop loop_;
};

// Compiles each source once a process. Throws OP_UNSUPPORTED with what the compiler says.
GeneratedKernelPtr CompileForTests(const std::string& source);

}  // namespace gradwire::testing

#endif  // GRADWIRE_TESTS_CUDA_FAKE_COMPILER_H_
