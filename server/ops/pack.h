// Elements that a thread of a GPU takes at a time. Generated kernels include this, too.
#ifndef GRADWIRE_OPS_PACK_H_
#define GRADWIRE_OPS_PACK_H_

namespace gradwire::cuda {

// Loaded and stored as one. A whole of 16 bytes is what memory gives best.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T at[kCount];
};
inline constexpr int kPackBytes = 16;

}  // namespace gradwire::cuda

#endif  // GRADWIRE_OPS_PACK_H_
