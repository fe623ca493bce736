// Functors of elementwise operators, by name: for kernels that are generated at run time.
#ifndef GRADWIRE_GRAPH_FUNCTOR_H_
#define GRADWIRE_GRAPH_FUNCTOR_H_

#include <cstddef>
#include <new>
#include <string_view>

#include "core/attributes.h"

namespace gradwire {

// A struct of ops/*_functors.h. Called with an element of each input, fn::Absent where one was left
// out, it gives the output's.
struct FunctorDef {
  // Within the namespace gradwire; empty: there is none. "Result" in it stands for the output's
  // element type.
  std::string_view type = {};
  // Of one with parameters: fills its bytes, whose layout is the same on host and device.
  void (*make)(const Attributes& attributes, void* functor) = nullptr;
  size_t bytes = 0;
  size_t alignment = 1;
};

// That of struct F, which is spelled `type`.
template <class F>
FunctorDef DefineFunctor(std::string_view type) {
  FunctorDef def{.type = type};
  if constexpr (requires(const Attributes& attributes) { F::Make(attributes); }) {
    def.make = [](const Attributes& attributes, void* functor) {
      new (functor) F(F::Make(attributes));
    };
    def.bytes = sizeof(F);
    def.alignment = alignof(F);
  }
  return def;
}

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_FUNCTOR_H_
