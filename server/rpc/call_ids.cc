#include "rpc/call_ids.h"

#include <algorithm>

namespace gradwire::rpc {
namespace {

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsZero(std::string_view text) { return text.find_first_not_of('0') == text.npos; }

}  // namespace

void ReadTraceparent(std::string_view value, CallIds& ids) {
  constexpr size_t kLength = 55;  // of version 00; later ones may append "-..."
  if (value.size() < kLength) return;
  const std::string_view version = value.substr(0, 2);
  const std::string_view trace = value.substr(3, 32);
  const std::string_view span = value.substr(36, 16);
  const std::string_view flags = value.substr(53, 2);
  const bool has_form = value[2] == '-' && value[35] == '-' && value[52] == '-' && IsHex(version) &&
                        IsHex(trace) && IsHex(span) && IsHex(flags);
  const bool ends = value.size() == kLength || (version != "00" && value[kLength] == '-');
  if (!has_form || !ends || version == "ff" || IsZero(trace) || IsZero(span)) return;
  ids.trace = trace;
  ids.span = span;
}

}  // namespace gradwire::rpc
