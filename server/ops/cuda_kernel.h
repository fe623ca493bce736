// How a .cu file gives operators their CUDA kernels.
#ifndef GRADWIRE_OPS_CUDA_KERNEL_H_
#define GRADWIRE_OPS_CUDA_KERNEL_H_

#include <string_view>
#include <vector>

#include "core/error.h"
#include "graph/kernel.h"
#include "graph/op.h"

namespace gradwire::cuda {

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
