#include "backend/box.h"

namespace gradwire {

Box Merged(const Box& box) {
  Box merged;
  for (size_t d = 0; d < box.dims.size(); ++d) {
    if (box.dims[d] == 1) continue;
    if (!merged.dims.empty() && merged.from.back() == box.from[d] * box.dims[d] &&
        merged.to.back() == box.to[d] * box.dims[d]) {
      merged.dims.back() *= box.dims[d];
      merged.from.back() = box.from[d];
      merged.to.back() = box.to[d];
      continue;
    }
    merged.dims.push_back(box.dims[d]);
    merged.from.push_back(box.from[d]);
    merged.to.push_back(box.to[d]);
  }
  if (merged.dims.empty()) return {{1}, {1}, {1}};
  return merged;
}

}  // namespace gradwire
