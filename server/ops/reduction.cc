#include "ops/reduction.h"

namespace gradwire {

ReductionLayout LayoutReduction(const Dims& dims, const std::vector<int64_t>& axes) {
  ReductionLayout layout;
  Dims kept;
  Dims reduced;
  const Dims strides = Strides(dims);
  int last = -1;  // kind of the previous axis of more than one element: 0 kept, 1 reduced
  for (size_t i = 0; i < dims.size(); ++i) {
    const bool is_reduced =
        std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) != axes.end();
    if (is_reduced) layout.reduced *= dims[i];
    if (dims[i] == 1) continue;
    Dims& extents = is_reduced ? reduced : kept;
    Dims& steps = is_reduced ? layout.outer_strides : layout.kept_strides;
    if (last == static_cast<int>(is_reduced)) {
      extents.back() *= dims[i];
      steps.back() = strides[i];
    } else {
      extents.push_back(dims[i]);
      steps.push_back(strides[i]);
    }
    last = static_cast<int>(is_reduced);
  }
  if (!kept.empty() && layout.kept_strides.back() == 1) {
    layout.inner = kept.back();
    kept.pop_back();
    layout.kept_strides.pop_back();
    layout.stride = layout.inner;
  }
  if (!reduced.empty()) {
    layout.count = reduced.back();
    layout.stride = layout.outer_strides.back();
    reduced.pop_back();
    layout.outer_strides.pop_back();
  }
  layout.kept = std::move(kept);
  layout.outer = std::move(reduced);
  return layout;
}

}  // namespace gradwire
