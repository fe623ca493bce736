// Arrays of consecutive numbers.
#ifndef GRADWIRE_OPS_RANGE_H_
#define GRADWIRE_OPS_RANGE_H_

#include "graph/formula.h"

namespace gradwire {

// int64[count]: 0, 1, 2, ...
inline Value Iota(int64_t count) {
  return Call("gradwire::Range", {},
              {{"start", int64_t{0}},
               {"delta", int64_t{1}},
               {"count", count},
               {"dtype", int64_t{static_cast<int>(DType::kInt64)}}});
}

// The same along `axis` of an array of that rank whose other extents are 1.
inline Value IotaAlong(int axis, int rank, int64_t count) {
  Dims dims(static_cast<size_t>(rank), 1);
  dims[static_cast<size_t>(axis)] = count;
  return Reshape(Iota(count), dims);
}

}  // namespace gradwire

#endif  // GRADWIRE_OPS_RANGE_H_
