// Arrays of strings.
//
// An element is a std::string_view into a pool: memory that does not change any more, and that the
// array's buffer holds. So elements are moved by their bits, as those of any other type are, and an
// array whose elements come out of others holds what those hold. The executor sees to that for
// every kernel that makes no pool of its own. Where all bits are zero an element is "". Text is
// UTF-8: whoever takes it from outside checks it (RequireUtf8). Only the CPU has such arrays.
//
// What they cannot do, for their elements are no bytes of the buffer: PutStream and FetchStream,
// external data of a model, SaveSession (safetensors has no such type), BitCast. RequireBytes
// refuses.
#ifndef GRADWIRE_CORE_STRINGS_H_
#define GRADWIRE_CORE_STRINGS_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "core/tensor.h"

namespace gradwire {

// How memory is had: Stream::Allocate or HostBuffer::Make.
using AllocateBytes = std::function<BufferPtr(size_t bytes)>;

// The elements of an array of strings, valid for as long as its buffer.
inline std::span<const std::string_view> Texts(const Tensor& strings) {
  return {strings.data<std::string_view>(), static_cast<size_t>(strings.numel())};
}

// An array of `dims` whose elements are copies of `texts`, in one pool. REQUIRES memory of a device
// that has arrays of strings; throws as RequireStringDevice.
Tensor MakeStrings(const Dims& dims, std::span<const std::string_view> texts,
                   const AllocateBytes& allocate);
// The same into an array that is allocated.
void FillStrings(std::span<const std::string> texts, const AllocateBytes& allocate, Tensor& to);

// Has `to` hold the pools of `from` besides its own.
void HoldPools(const Tensor& from, Tensor& to);

// Throws INVALID_ARGUMENT naming `what` unless the text is UTF-8.
void RequireUtf8(std::string_view text, std::string_view what);

inline bool HasStrings(DeviceType device) { return device == DeviceType::kCpu; }
// Throws OP_UNSUPPORTED unless the device is one that has arrays of strings.
void RequireStringDevice(Device device);

// Throws DTYPE_MISMATCH naming `what` if the elements are strings.
void RequireBytes(const TensorSpec& spec, std::string_view what);

}  // namespace gradwire

#endif  // GRADWIRE_CORE_STRINGS_H_
