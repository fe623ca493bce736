// Bools that came from outside.
#ifndef GRADWIRE_CORE_BOOLS_H_
#define GRADWIRE_CORE_BOOLS_H_

#include <cstdint>

#include "core/tensor.h"

namespace gradwire {

// Any byte but 0 is true, and true is 1 from now on, as C++ wants it. Nothing for other types.
// REQUIRES: the host can write the tensor.
inline void MakeBoolsValid(Tensor& tensor) {
  if (tensor.dtype() != DType::kBool) return;
  auto* const bytes = tensor.mutable_data<uint8_t>();
  for (size_t i = 0; i < tensor.bytes(); ++i) bytes[i] = bytes[i] != 0 ? 1 : 0;
}

}  // namespace gradwire

#endif  // GRADWIRE_CORE_BOOLS_H_
