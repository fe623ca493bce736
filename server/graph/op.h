// What an operator is: the page that the author of an operator reads. CONTRIBUTING.md walks
// through one.
//
// An operator is one GRADWIRE_OP row in a file of server/ops/: a contract (`infer`), a meaning (a
// CPU kernel, a decomposition into other operators, or a rule of the trace: graph/structured.h) and
// a derivative (`vjp`, the decomposition's, or a declared "not differentiable"). Several rows may
// share a name: the newest `since` that is not above the opset asked for is meant. Rows whose
// parameters came to be inputs, or the reverse, decompose into one row that has the kernel; its
// parameters are attributes and its domain "gradwire".
#ifndef GRADWIRE_GRAPH_OP_H_
#define GRADWIRE_GRAPH_OP_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/attributes.h"
#include "core/dtype.h"
#include "core/epilogue.h"
#include "graph/functor.h"
#include "graph/item.h"
#include "graph/loop.h"
#include "graph/node.h"
#include "graph/value.h"

namespace gradwire {

class OpCall;          // what infer and decompose see: graph/op_call.h
class VjpCall;         // what a VJP sees: graph/op_call.h
class KernelContext;   // what a kernel sees: graph/kernel.h
class StructuredCall;  // what a rule of the trace sees: graph/structured.h
struct ChannelsLast;   // graph/channels_last.h

using Specs = absl::InlinedVector<TensorSpec, 1>;

// Checks the call and says what its outputs are. Throws Error(SHAPE_MISMATCH, ...) and the like,
// without naming node or operator: the caller adds that.
using Infer = Specs (*)(const OpCall& call);
// Computes the outputs, which are allocated, from the inputs, which are ready.
using Kernel = void (*)(KernelContext& context);
// The same function in other operators.
using Decompose = Values (*)(const OpCall& call);
// The same for a call whose inputs are not all tensors, or whose attributes are graphs.
using Structured = Items (*)(const StructuredCall& call);
// Gradient of each input, given those of the outputs; an absent Value where there is none or where
// call.needs(i) is false. A formula over Values: no buffer, no device. A gradient may have the
// shape that the input was broadcast to: it is summed down by the caller.
using Vjp = Values (*)(const VjpCall& call);

inline constexpr int kVariadic = 1 << 20;
struct Arity {
  int min = 1;
  int max = 1;

  constexpr Arity(int exact) : min(exact), max(exact) {}  // NOLINT: Arity from a count
  constexpr Arity(int at_least, int at_most) : min(at_least), max(at_most) {}
};

// Which arrays a VJP reads, as bit masks; others are freed after the forward run. Specs stay.
struct Saves {
  uint32_t inputs = 0;
  uint32_t outputs = 0;

  constexpr bool Input(size_t i) const { return i >= 31 ? inputs >> 31 : (inputs >> i) & 1u; }
  constexpr bool Output(size_t i) const { return i >= 31 ? outputs >> 31 : (outputs >> i) & 1u; }
};
inline constexpr Saves kSaveNothing{};
inline constexpr Saves kSaveInputs{~0u, 0};
inline constexpr Saves kSaveOutputs{0, ~0u};
inline constexpr uint32_t kAllInputs = ~0u;
inline constexpr int kPacksNothing = -1;

// What a CUDA kernel can do beyond its operator's CPU kernel.
struct KernelTraits {
  // Inputs, a bit each, that may be 16-bit floats of one type: it computes in float32, and rounds
  // once. Elsewhere such a call becomes one of float32 between two casts (graph/halves.h).
  uint32_t halves = 0;
  // Such a call is differentiated in 16-bit floats, too, and not in float32.
  bool halves_vjp = false;
  // Element types for which it does what attribute "epilogue" says, an Epilogue, after it has added
  // input 2, a bias.
  DTypeSet epilogues = {};
};

struct OpDef {
  std::string_view name;         // as ONNX spells it
  std::string_view domain = "";  // "" is ai.onnx
  int since = 1;                 // first opset version with this meaning
  Arity inputs = 1;
  Arity outputs = 1;
  // Element types of the first input (of the first output where there is no input).
  DTypeSet types = kFloats;
  // What later inputs may be of besides these types and kDense. Which of all that each may be is
  // for `infer` or the decomposition to check.
  DTypeSet other_types = {};
  // Attribute names that the row knows; any other is refused.
  std::vector<std::string_view> attributes = {};
  Infer infer = nullptr;  // required with a kernel
  Kernel cpu = nullptr;   // the CPU kernel
  // The CUDA kernel, for kDense elements: AddKernel sets it from the .cu of the same stem; or it is
  // host code that works through the Stream alone.
  Kernel cuda = nullptr;
  KernelTraits cuda_traits = {};
  Decompose decompose = nullptr;  // used on a device without a kernel, or for its derivative
  // Used in a row without kernel and decomposition, and where an input is no tensor.
  Structured structured = nullptr;
  Vjp vjp = nullptr;
  Saves saves = kSaveNothing;
  // False must be said; a differentiable row has a vjp, a decomposition or a rule. A walk that
  // needs the derivative of another row fails with NOT_DIFFERENTIABLE.
  bool differentiable = true;
  // Of a row that is not differentiable: its results are constants by their meaning (a sample, a
  // shape, a detached array), so that a walk never reaches it.
  bool stops_gradient = false;
  // Output i is input i's storage under another spec; no kernel.
  bool alias = false;
  // The kernel may write output 0 into an input's buffer of the same byte size: it reads element i
  // of each such input before it writes element i of the output.
  bool in_place = false;
  // The inputs, a bit each, of which sample i of the output, whose rank is given, needs sample i
  // alone, samples being along the first axis; null or 0: all. Elementwise rows need not say it.
  uint32_t (*samples)(const Attributes& attributes, int rank) = nullptr;
  // The input of which the CPU kernel keeps a copy in a layout of its own, where it is told that
  // the array will not change: weights.
  int packs = kPacksNothing;
  // Of an elementwise operator with one output: what its CPU kernel runs, so that such operators
  // can run as one. Null, or without a loop for some types: it runs alone.
  LoopOf loop = nullptr;
  // The same of what its CUDA kernel computes, for element types of kDense: AddFunctor sets it from
  // the .cu.
  FunctorDef functor = {};
  // Of such an operator: the epilogue that is the same.
  Epilogue epilogue = Epilogue::kNone;
  // How the CPU computes it on images whose channels lie last; null: a plan transposes them.
  const ChannelsLast* channels_last = nullptr;
};

// All operators, filled before main() by the rows in server/ops/. Read-only afterwards.
class Registry {
 public:
  static Registry& Global();

  bool Add(OpDef op);
  // Gives a registered row its kernel on another device. Kernels are added after all rows: from a
  // library loaded at run time. `traits`: of a CUDA kernel.
  bool AddKernel(std::string_view domain, std::string_view name, int since, DeviceType device,
                 Kernel kernel, const KernelTraits& traits = {});
  // The newest row not above `version`; nullptr when there is none. "ai.onnx" is "".
  const OpDef* Find(std::string_view domain, std::string_view name, int64_t version) const;
  // Like Find with the newest version; throws OP_UNSUPPORTED.
  const OpDef& Latest(std::string_view name, std::string_view domain = "") const;
  // Every row, by domain, name and since.
  std::vector<const OpDef*> All() const;
  // The laws of op.h; a message for each row that breaks one.
  std::vector<std::string> Validate() const;
  // Gives a registered row the functor of its CUDA kernel, when its kernels are added.
  bool AddFunctor(std::string_view domain, std::string_view name, int since,
                  const FunctorDef& functor);
};

// The newest version of the default domain, and of ONNX's IR, that models may use.
inline constexpr int64_t kMaxOpset = 27;
inline constexpr int64_t kMaxIrVersion = 13;

// The row's kernel on a device; nullptr where it has none.
inline Kernel KernelOn(const OpDef& op, DeviceType device) {
  return device == DeviceType::kCuda ? op.cuda : op.cpu;
}
// The element types of arrays that kernels of a device compute with.
inline DTypeSet TypesOn(DeviceType device) {
  return device == DeviceType::kCuda ? kDense : kAnyType;
}
// The element types of calls that the row takes on a device as they are.
inline DTypeSet TypesOf(const OpDef& op, DeviceType device) {
  const bool halves = device == DeviceType::kCuda && op.cuda_traits.halves != 0;
  return halves ? op.types | kHalves : op.types;
}
// Whether the row becomes a node on a device, and not nodes of its decomposition. Without a kernel
// there, or for arrays of other types than the device's, the node is computed on the host.
inline bool IsNodeOn(const OpDef& op, DeviceType device) {
  return op.alias || KernelOn(op, device) != nullptr ||
         (op.cpu != nullptr && op.decompose == nullptr);
}
// Whether a gradient of the operator can be had at all.
inline bool HasGradient(const OpDef& op) {
  return op.differentiable &&
         (op.vjp != nullptr || op.decompose != nullptr || op.structured != nullptr);
}

#define GRADWIRE_CONCAT_INNER(a, b) a##b
#define GRADWIRE_CONCAT(a, b) GRADWIRE_CONCAT_INNER(a, b)
// GRADWIRE_OP({.name = "Relu", ...}), or of an expression that is an OpDef; at namespace scope of a
// file in server/ops/.
#define GRADWIRE_OP(...)                                             \
  [[maybe_unused]] const bool GRADWIRE_CONCAT(kOpRow, __COUNTER__) = \
      ::gradwire::Registry::Global().Add(__VA_ARGS__)

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_OP_H_
