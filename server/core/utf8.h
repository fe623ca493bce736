// What Protocol Buffers' strings may hold.
#ifndef GRADWIRE_CORE_UTF8_H_
#define GRADWIRE_CORE_UTF8_H_

#include <string>
#include <string_view>

namespace gradwire {

bool IsUtf8(std::string_view text);
// The text with '?' for each byte that is no part of a character.
std::string ToUtf8(std::string_view text);

}  // namespace gradwire

#endif  // GRADWIRE_CORE_UTF8_H_
