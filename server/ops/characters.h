// The characters of UTF-8 text, for operators on strings.
#ifndef GRADWIRE_OPS_CHARACTERS_H_
#define GRADWIRE_OPS_CHARACTERS_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace gradwire {

// The character that begins a text, and the bytes it takes. REQUIRES: the text is UTF-8, not empty.
struct Character {
  char32_t code;
  size_t bytes;
};
Character FirstCharacter(std::string_view text);

// What Python's str.split, ONNX's reference, parts words at: Unicode's white space, and the
// separators U+001C to U+001F.
bool IsSpace(char32_t code);

// Unicode's simple case mappings, of one character to one, which are the same in all languages but
// Turkish, Azerbaijani and Lithuanian.
std::string ToLower(std::string_view text);
std::string ToUpper(std::string_view text);

}  // namespace gradwire

#endif  // GRADWIRE_OPS_CHARACTERS_H_
