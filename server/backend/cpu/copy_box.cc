#include "backend/cpu/copy_box.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "core/strided.h"

namespace gradwire {
namespace {

constexpr int64_t kGrainBytes = 1 << 16;

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
    } else if (to_stride == 1 && from_stride == 0) {
      std::fill(to, to + count, *from);
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

void CopyBoxOnHost(const Box& box, size_t width, const void* from, void* to) {
  if (NumElements(box.dims) == 0) return;
  const Rows rows(Merged(box));
  DispatchBytes(
      width, [&]<class T>() { CopyRows(rows, static_cast<const T*>(from), static_cast<T*>(to)); });
}

}  // namespace gradwire
