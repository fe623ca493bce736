#include "ops/box.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "ops/strided.h"

namespace gradwire {
namespace {

constexpr int64_t kGrainBytes = 1 << 16;

// Drops extents of 1 and joins dimensions that lie back to back on both sides.
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
  return merged;
}

// The innermost dimension of a box, and the walk over the others.
struct Rows {
  explicit Rows(Box box)
      : n(box.dims.back()), from_stride(box.from.back()), to_stride(box.to.back()) {
    box.dims.pop_back();
    box.from.pop_back();
    box.to.pop_back();
    outer = std::move(box);
  }

  template <class T>
  void Copy(const T* from, T* to, int64_t begin, int64_t end) const {
    from += begin * from_stride;
    to += begin * to_stride;
    const int64_t count = end - begin;
    if (from_stride == 1 && to_stride == 1) {
      std::memcpy(to, from, static_cast<size_t>(count) * sizeof(T));
    } else if (to_stride == 1) {
      for (int64_t i = 0; i < count; ++i) to[i] = from[i * from_stride];
    } else {
      for (int64_t i = 0; i < count; ++i) to[i * to_stride] = from[i * from_stride];
    }
  }

  Box outer;
  int64_t n;
  int64_t from_stride;
  int64_t to_stride;
};

template <class T>
void CopyRows(const Rows& rows, const T* from, T* to) {
  constexpr int64_t kGrain = kGrainBytes / int64_t{sizeof(T)};
  const int64_t count = NumElements(rows.outer.dims);
  const auto copy = [&](int64_t first, int64_t last, auto&& row) {
    Odometer source(rows.outer.dims, rows.outer.from, first);
    Odometer target(rows.outer.dims, rows.outer.to, first);
    for (int64_t r = first; r < last; ++r, source.Next(), target.Next()) {
      row(from + source.offset(), to + target.offset());
    }
  };
  if (count < Threads()) {  // few rows: share out each one
    copy(0, count, [&](const T* source, T* target) {
      ParallelFor(rows.n, kGrain,
                  [&](int64_t begin, int64_t end) { rows.Copy(source, target, begin, end); });
    });
    return;
  }
  ParallelFor(count, kGrain / rows.n + 1, [&](int64_t first, int64_t last) {
    copy(first, last, [&](const T* source, T* target) { rows.Copy(source, target, 0, rows.n); });
  });
}

}  // namespace

void CopyBox(const Box& box, DType dtype, const void* from, int64_t from_start, void* to,
             int64_t to_start) {
  if (NumElements(box.dims) == 0) return;
  Box merged = Merged(box);
  if (merged.dims.empty()) merged = {{1}, {1}, {1}};
  const Rows rows(std::move(merged));
  DispatchWidth(dtype, [&]<class T>() {
    CopyRows(rows, static_cast<const T*>(from) + from_start, static_cast<T*>(to) + to_start);
  });
}

void FillElements(void* to, int64_t count, DType dtype, const void* value) {
  DispatchWidth(dtype, [&]<class T>() {
    T element;
    std::memcpy(&element, value, sizeof(T));
    T* const target = static_cast<T*>(to);
    ParallelFor(count, kGrainBytes / int64_t{sizeof(T)}, [&](int64_t begin, int64_t end) {
      std::fill(target + begin, target + end, element);
    });
  });
}

}  // namespace gradwire
