// How a .cu file gives operators their CUDA kernels.
#ifndef GRADWIRE_OPS_CUDA_KERNEL_H_
#define GRADWIRE_OPS_CUDA_KERNEL_H_

#include <string_view>
#include <type_traits>
#include <vector>

#include "core/error.h"
#include "graph/kernel.h"
#include "graph/op.h"

namespace gradwire::cuda {

// The element types of a list and, where float is one of them, 16-bit floats: ops/computed.h.
template <class List>
struct WithHalvesOf;
template <class... Ts>
struct WithHalvesOf<TypeList<Ts...>> {
  static constexpr bool kAdds = (std::is_same_v<Ts, float> || ...);
  using type = std::conditional_t<kAdds, TypeList<Ts..., Float16, BFloat16>, TypeList<Ts...>>;
};
template <class List>
using WithHalves = typename WithHalvesOf<List>::type;

// Of a kernel that takes WithHalves<List>, as the elements of all its inputs.
template <class List>
inline constexpr KernelTraits kTraitsOf = {.halves = WithHalvesOf<List>::kAdds ? kAllInputs : 0};
inline constexpr KernelTraits kHalvesInAll = {.halves = kAllInputs};
inline constexpr KernelTraits kHalvesInFirst = {.halves = 0b1};

struct KernelRow {
  std::string_view domain;
  std::string_view name;
  int since;
  Kernel kernel;
  KernelTraits traits = {};
};

// Of all .cu files that were linked: before the library is opened, nothing is done with them.
inline std::vector<KernelRow>& KernelRows() {
  static std::vector<KernelRow> rows;
  return rows;
}

// GRADWIRE_CUDA_KERNEL("gradwire", "ReduceSum", 1, kernel) at namespace scope: of the row with that
// domain, name and `since`. KernelTraits may follow.
#define GRADWIRE_CUDA_KERNEL(domain, name, since, ...)                 \
  [[maybe_unused]] const bool GRADWIRE_CONCAT(kCudaRow, __COUNTER__) = \
      (::gradwire::cuda::KernelRows().push_back({domain, name, since, __VA_ARGS__}), true)

struct FunctorRow {
  std::string_view domain;
  std::string_view name;
  int since;
  FunctorDef functor;
};

inline std::vector<FunctorRow>& FunctorRows() {
  static std::vector<FunctorRow> rows;
  return rows;
}

// GRADWIRE_CUDA_FUNCTOR("", "Tanh", 1, DefineFunctor<fn::Tanh>("fn::Tanh")) likewise: what the
// row's kernel computes, element by element.
#define GRADWIRE_CUDA_FUNCTOR(domain, name, since, ...)                    \
  [[maybe_unused]] const bool GRADWIRE_CONCAT(kCudaFunctor, __COUNTER__) = \
      (::gradwire::cuda::FunctorRows().push_back({domain, name, since, __VA_ARGS__}), true)

}  // namespace gradwire::cuda

#endif  // GRADWIRE_OPS_CUDA_KERNEL_H_
