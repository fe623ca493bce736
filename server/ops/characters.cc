#include "ops/characters.h"

#include <locale.h>
#include <wctype.h>

#include <cstdint>

#include "core/error.h"

namespace gradwire {
namespace {

// The C library's tables, whatever locale the process runs in.
locale_t Unicode() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (locale == nullptr) throw Error(reason::kInternal, "the C library has no locale C.UTF-8");
  return locale;
}

void Append(char32_t code, std::string& text) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((code >> shift) & 0x3f)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xc0 | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xe0 | (code >> 12));
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xf0 | (code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

template <class Map>
std::string Mapped(std::string_view text, Map map) {
  const locale_t unicode = Unicode();
  std::string mapped;
  mapped.reserve(text.size());
  while (!text.empty()) {
    const Character character = FirstCharacter(text);
    Append(static_cast<char32_t>(map(static_cast<wint_t>(character.code), unicode)), mapped);
    text.remove_prefix(character.bytes);
  }
  return mapped;
}

}  // namespace

Character FirstCharacter(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  char32_t code = lead & (0xffu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) code = code << 6 | (byte(i) & 0x3fu);
  return {code, bytes};
}

bool IsSpace(char32_t code) {
  return (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x20) || code == 0x85 ||
         code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
         code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

std::string ToLower(std::string_view text) { return Mapped(text, towlower_l); }
std::string ToUpper(std::string_view text) { return Mapped(text, towupper_l); }

}  // namespace gradwire
