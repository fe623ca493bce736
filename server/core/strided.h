// Loops over arrays that are read or written in another order than they lie in.
#ifndef GRADWIRE_CORE_STRIDED_H_
#define GRADWIRE_CORE_STRIDED_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/shape.h"

namespace gradwire {

// Goes through the indices of `dims` in row-major order, keeping the offset that the current one
// has under `strides`.
class Odometer {
 public:
  Odometer(const Dims& dims, const Dims& strides, int64_t start = 0)
      : dims_(dims), strides_(strides), index_(dims.size(), 0) {
    for (size_t i = dims.size(); i-- > 0 && start > 0;) {
      index_[i] = start % dims[i];
      start /= dims[i];
      offset_ += index_[i] * strides[i];
    }
  }

  int64_t offset() const { return offset_; }
  void Next() {
    for (size_t i = dims_.size(); i-- > 0;) {
      offset_ += strides_[i];
      if (++index_[i] < dims_[i]) return;
      offset_ -= index_[i] * strides_[i];
      index_[i] = 0;
    }
  }

 private:
  const Dims& dims_;
  const Dims& strides_;
  Dims index_;
  int64_t offset_ = 0;
};

// Calls f.operator()<T>() with a T of `bytes` bytes: 1, 2, 4, 8 or 16.
template <class F>
void DispatchBytes(size_t bytes, F&& f) {
  switch (bytes) {
    case 1:
      return f.template operator()<uint8_t>();
    case 2:
      return f.template operator()<uint16_t>();
    case 4:
      return f.template operator()<uint32_t>();
    case 8:
      return f.template operator()<uint64_t>();
    default:
      return f.template operator()<std::array<uint64_t, 2>>();
  }
}

// The same with a T as wide as an element, whose bits are zero where it is T{}: for kernels that
// only move elements of kMoved types.
template <class F>
void DispatchWidth(DType dtype, F&& f) {
  DispatchBytes(static_cast<size_t>(BitWidth(dtype)) / 8, f);
}

}  // namespace gradwire

#endif  // GRADWIRE_CORE_STRIDED_H_
