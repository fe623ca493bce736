// Operators on images whose channels lie last.
#ifndef GRADWIRE_GRAPH_CHANNELS_LAST_H_
#define GRADWIRE_GRAPH_CHANNELS_LAST_H_

#include <cstdint>
#include <span>

#include "graph/op.h"

namespace gradwire {

// A kernel that takes the place of another where the input that OpDef::packs names stays the same.
struct ConstantForm {
  Kernel cpu;
  // Bytes that it keeps of the input, in a call of these specs; 0 where it does not compute it.
  int64_t (*kept_bytes)(std::span<const TensorSpec> inputs, const Attributes& attributes);
};

// An operator that has [N, C, spatial...] among its arrays, and how it is computed where they are
// [N, spatial..., C] instead: convolutions are faster so. The other inputs stay as they are.
struct ChannelsLast {
  // The CPU kernel; the operator's own if null, which then need not know.
  Kernel cpu = nullptr;
  // Which inputs are images, as a bit mask; the last bit stands for all from there on.
  uint32_t images = 1;
  // Whether the outputs are images.
  bool makes_images = true;
  // Whether it is so much faster that images are transposed for it.
  bool worthwhile = false;
  // Whether the kernel computes the call, whose specs are those of [N, C, ...]; null: it always
  // does. Arrays that are left out have no dtype that a kernel knows.
  bool (*suits)(std::span<const TensorSpec> inputs, std::span<const TensorSpec> outputs,
                const Attributes& attributes) = nullptr;
  // The attributes that the call has then, by the images' rank; null: the same.
  Attributes (*attributes)(const Attributes& attributes, int rank) = nullptr;
  // Instead of `cpu`, where it is faster and may round otherwise; null: nothing else.
  const ConstantForm* constant = nullptr;

  bool IsImage(size_t input) const {
    return input >= 31 ? images >> 31 : ((images >> input) & 1u) != 0;
  }
};

// [N, spatial..., C] of [N, C, spatial...], and back.
Dims WithChannelsLast(const Dims& dims);
Dims WithChannelsFirst(const Dims& dims);

}  // namespace gradwire

#endif  // GRADWIRE_GRAPH_CHANNELS_LAST_H_
