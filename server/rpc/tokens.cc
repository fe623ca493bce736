#include "rpc/tokens.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace gradwire::rpc {
namespace {

Error Wrong(const std::string& what) { return {reason::kInvalidArgument, what}; }

std::optional<int64_t> Limit(const nlohmann::json& tenant, const char* key) {
  const auto found = tenant.find(key);
  if (found == tenant.end()) return std::nullopt;
  if (!found->is_number_unsigned()) throw Wrong(fmt::format("'{}' is not a number", key));
  return found->get<int64_t>();
}

}  // namespace

Tokens::Digest Tokens::ParseDigest(const std::string& hex) {
  Digest digest;
  size_t length = 0;
  if (hex.size() != 2 * digest.size() ||
      OPENSSL_hexstr2buf_ex(digest.data(), digest.size(), &length, hex.c_str(), '\0') != 1 ||
      length != digest.size()) {
    throw Wrong("a token is given by its SHA-256: 64 hexadecimal digits");
  }
  return digest;
}

Tokens Tokens::Read(const std::string& path) {
  std::ifstream file(path);
  try {
    if (!file) throw Wrong("cannot be read");
    return Parse(file);
  } catch (Error& error) {
    throw error.Prefix(fmt::format("tokens file '{}': ", path));
  }
}

Tokens Tokens::Parse(std::istream& text) try {
  Tokens tokens;
  const auto json = nlohmann::json::parse(text);
  for (const auto& [name, tenant] : json.at("tenants").items()) {
    for (const auto& digest : tenant.at("sha256")) {
      tokens.entries_.push_back({ParseDigest(digest.get<std::string>()), name});
    }
    tokens.agreed_[name] = {Limit(tenant, "max_bytes"), Limit(tenant, "max_sessions"),
                            Limit(tenant, "max_message_bytes")};
  }
  if (tokens.entries_.empty()) throw Wrong("holds no token");
  return tokens;
} catch (const nlohmann::json::exception& exception) {
  throw Wrong(exception.what());
}

std::optional<std::string> Tokens::TenantOf(std::string_view token) const {
  Digest digest;
  SHA256(reinterpret_cast<const uint8_t*>(token.data()), token.size(), digest.data());
  const Entry* match = nullptr;
  for (const Entry& entry : entries_) {
    if (CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0) match = &entry;
  }
  if (match == nullptr) return std::nullopt;
  return match->tenant;
}

std::map<std::string, TenantLimits> Tokens::Limits(const TenantLimits& otherwise) const {
  std::map<std::string, TenantLimits> limits;
  for (const auto& [name, agreed] : agreed_) {
    limits[name] = {agreed.max_bytes.value_or(otherwise.max_bytes),
                    agreed.max_sessions.value_or(otherwise.max_sessions),
                    agreed.max_message_bytes.value_or(otherwise.max_message_bytes)};
  }
  return limits;
}

}  // namespace gradwire::rpc
