// What a call says of itself in its metadata, for logs.
#ifndef GRADWIRE_RPC_CALL_IDS_H_
#define GRADWIRE_RPC_CALL_IDS_H_

#include <string>
#include <string_view>

#include "core/utf8.h"

namespace gradwire::rpc {

// UTF-8; empty where there is none.
struct CallIds {
  std::string session;  // metadata `gradwire-session`
  std::string request;  // `x-request-id`
  std::string trace;    // `traceparent`: 32 and 16 hexadecimal digits
  std::string span;
};

// Takes trace and span out of "VERSION-TRACE-SPAN-FLAGS" (W3C Trace Context, level 1, section
// 3.2); a value that does not have this form leaves them empty, as that section asks for.
void ReadTraceparent(std::string_view value, CallIds& ids);

// `metadata` maps names to values, as gRPC gives it.
template <class Metadata>
CallIds IdsOf(const Metadata& metadata) {
  CallIds ids;
  for (const auto& [key, value] : metadata) {
    const std::string_view name(key.data(), key.size());
    const std::string_view text(value.data(), value.size());
    if (name == "gradwire-session") ids.session = ToUtf8(text);
    if (name == "x-request-id") ids.request = ToUtf8(text);
    if (name == "traceparent") ReadTraceparent(text, ids);
  }
  return ids;
}

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_CALL_IDS_H_
