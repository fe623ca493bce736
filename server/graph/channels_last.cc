#include "graph/channels_last.h"

#include <algorithm>

namespace gradwire {

Dims WithChannelsLast(const Dims& dims) {
  Dims last = dims;
  std::rotate(last.begin() + 1, last.begin() + 2, last.end());
  return last;
}

Dims WithChannelsFirst(const Dims& dims) {
  Dims first = dims;
  std::rotate(first.begin() + 1, first.end() - 1, first.end());
  return first;
}

}  // namespace gradwire
