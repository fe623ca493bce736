// Elementwise operators that run as one: tile by tile on a CPU, so that what only they read never
// leaves the cache; as one generated kernel elsewhere.
#ifndef GRADWIRE_EXEC_CHAIN_H_
#define GRADWIRE_EXEC_CHAIN_H_

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "exec/generated_chain.h"
#include "graph/op.h"
#include "ops/broadcast.h"

namespace gradwire {

// Immutable. All links have outputs of one shape. What they read and write is numbered: the chain's
// inputs first, then its outputs, then what only links read.
struct Chain {
  struct Link {
    const OpDef* op = nullptr;
    DType dtype = DType::kUndefined;  // of the result
    Loop loop;                        // of a CPU's chain
    Attributes attributes;
    absl::InlinedVector<int, kMaxLoopInputs> operands;  // numbers; -1 where one was left out
    int result = 0;
    LoopWalk walk;
  };
  // An operator of the chain, and how many of its links are that.
  using OpCounts = std::vector<std::pair<const OpDef*, int>>;

  int64_t numel = 0;  // of every result
  std::vector<Link> links;
  OpCounts ops;
  std::vector<int64_t> widths;    // bytes of an element, by number
  std::vector<TensorSpec> specs;  // of inputs and outputs, by number
  size_t inputs = 0;
  size_t outputs = 0;
  // For each output the inputs whose memory it may take, where nobody else reads them: of its
  // size, and not read after it is written.
  std::vector<std::vector<size_t>> donors;
  std::shared_ptr<const GeneratedChain> generated;  // null on a CPU
};

// Fills `outputs`, which may lie in the memory of their donors, in host memory.
void RunChain(const Chain& chain, std::span<const Tensor> inputs, std::span<Tensor> outputs);

}  // namespace gradwire

#endif  // GRADWIRE_EXEC_CHAIN_H_
