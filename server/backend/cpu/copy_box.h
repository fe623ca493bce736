// Copies between boxes in host memory.
#ifndef GRADWIRE_BACKEND_CPU_COPY_BOX_H_
#define GRADWIRE_BACKEND_CPU_COPY_BOX_H_

#include <cstddef>

#include "backend/box.h"

namespace gradwire {

// Stream::Copy on the CPU.
void CopyBoxOnHost(const Box& box, size_t width, const void* from, void* to);

}  // namespace gradwire

#endif  // GRADWIRE_BACKEND_CPU_COPY_BOX_H_
