// Copies of what is too large for the caches.
#ifndef GRADWIRE_CORE_COPY_H_
#define GRADWIRE_CORE_COPY_H_

#include <cstddef>

namespace gradwire {

// As std::memcpy, for one piece of a copy of `whole` bytes in all: a large one is written past the
// caches, which would only lose what others have in them.
void CopyBytes(std::byte* to, const std::byte* from, size_t bytes, size_t whole);

}  // namespace gradwire

#endif  // GRADWIRE_CORE_COPY_H_
