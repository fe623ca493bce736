// Copies between boxes: arrays seen through extents and strides.
#ifndef GRADWIRE_OPS_BOX_H_
#define GRADWIRE_OPS_BOX_H_

#include <cstdint>

#include "backend/box.h"
#include "graph/kernel.h"

namespace gradwire {

// Copies each element of the box from one array of kMoved elements to another, which do not
// overlap, on the device that the arrays are on. `from_start` and `to_start` are the offsets of the
// box's first element.
inline void CopyBox(KernelContext& context, const Box& box, DType dtype, const void* from,
                    int64_t from_start, void* to, int64_t to_start) {
  if (NumElements(box.dims) == 0) return;
  const int width = BitWidth(dtype) / 8;
  context.stream().Copy(box, static_cast<size_t>(width),
                        static_cast<const char*>(from) + from_start * width,
                        static_cast<char*>(to) + to_start * width);
}

}  // namespace gradwire

#endif  // GRADWIRE_OPS_BOX_H_
