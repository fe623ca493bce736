// Boxes: arrays seen through extents and strides.
#ifndef GRADWIRE_BACKEND_BOX_H_
#define GRADWIRE_BACKEND_BOX_H_

#include "core/shape.h"

namespace gradwire {

// Two views of the same extents; strides count elements and may be negative or, on the side that is
// read, 0.
struct Box {
  Dims dims;
  Dims from;
  Dims to;
};

// The same box with extents of 1 dropped and dimensions joined that lie back to back on both sides;
// one dimension at least.
Box Merged(const Box& box);

}  // namespace gradwire

#endif  // GRADWIRE_BACKEND_BOX_H_
