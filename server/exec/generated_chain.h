// A chain as one kernel, on devices that make kernels of source.
#ifndef GRADWIRE_EXEC_GENERATED_CHAIN_H_
#define GRADWIRE_EXEC_GENERATED_CHAIN_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/tensor.h"

namespace gradwire {

struct Chain;  // exec/chain.h

// Reads each input and writes each output once; what only links read stays in registers. The
// source hangs on the operators, the element types and which operands broadcast, not on extents and
// attributes: these come with the launch. Immutable.
class GeneratedChain {
 public:
  // Null where the stream's device does not make kernels, or the chain has too many arrays for one.
  // REQUIRES: links' operators have functors.
  static std::shared_ptr<const GeneratedChain> Make(const Chain& chain, Stream& stream);

  // Fills `outputs`, which may lie in the memory of their donors. `stream` is of the device that
  // the chain was made for.
  void Run(std::span<const Tensor> inputs, std::span<Tensor> outputs, Stream& stream) const;

 private:
  GeneratedKernelPtr kernel_;
  // What the kernel takes by value: addresses, which each run fills in, and all else.
  std::vector<uint64_t> argument_;
  int64_t packs_ = 0;
};

// The kernel's source: a struct whose members are laid out as the argument is.
std::string SourceOf(const Chain& chain);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_GENERATED_CHAIN_H_
