// Bearer tokens, and whose they are.
#ifndef GRADWIRE_RPC_TOKENS_H_
#define GRADWIRE_RPC_TOKENS_H_

#include <array>
#include <cstdint>
#include <istream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "session/session_store.h"

namespace gradwire::rpc {

// Tokens are held as their SHA-256 only. Does not change once read: thread-safe.
class Tokens {
 public:
  // Reads a JSON file; digests are SHA-256 in hexadecimal, limits may be left out:
  //   {"tenants": {"NAME": {"sha256": ["DIGEST", ...], "max_bytes": N, "max_sessions": N,
  //                         "max_message_bytes": N}}}
  // Throws INVALID_ARGUMENT, saying what is wrong with it.
  static Tokens Read(const std::string& path);
  static Tokens Parse(std::istream& text);

  // The tenant that a token stands for, if any. Its time does not tell how near a guess came.
  std::optional<std::string> TenantOf(std::string_view token) const;
  // What the file says of tenants; `otherwise` where it says nothing.
  std::map<std::string, TenantLimits> Limits(const TenantLimits& otherwise) const;

 private:
  using Digest = std::array<uint8_t, 32>;
  struct Entry {
    Digest digest;
    std::string tenant;
  };
  struct Agreed {
    std::optional<int64_t> max_bytes;
    std::optional<int64_t> max_sessions;
    std::optional<int64_t> max_message_bytes;
  };
  static Digest ParseDigest(const std::string& hex);

  std::vector<Entry> entries_;
  std::map<std::string, Agreed> agreed_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_TOKENS_H_
