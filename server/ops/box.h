// Copies between boxes: arrays seen through extents and strides.
#ifndef GRADWIRE_OPS_BOX_H_
#define GRADWIRE_OPS_BOX_H_

#include <cstdint>

#include "core/dtype.h"
#include "core/shape.h"

namespace gradwire {

// Two views of the same extents; strides count elements and may be negative or 0.
struct Box {
  Dims dims;
  Dims from;
  Dims to;
};

// Copies each element of the box from one array of kMoved elements to another, which do not
// overlap. `from_start` and `to_start` are the offsets of the box's first element.
void CopyBox(const Box& box, DType dtype, const void* from, int64_t from_start, void* to,
             int64_t to_start);

// The element of any type whose bits are zero.
inline constexpr uint64_t kZeroElement[2] = {0, 0};

// Sets `count` elements to the one at `value`.
void FillElements(void* to, int64_t count, DType dtype, const void* value);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_BOX_H_
