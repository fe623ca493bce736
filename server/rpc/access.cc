#include "rpc/access.h"

#include <string_view>

#include "backend/quota.h"
#include "core/error.h"

namespace gradwire::rpc {
namespace {

// Of this layer alone: below it, nobody knows of callers.
constexpr Reason kUnauthenticated{"UNAUTHENTICATED",
                                  static_cast<Code>(grpc::StatusCode::UNAUTHENTICATED)};
constexpr std::string_view kScheme = "Bearer ";

}  // namespace

std::string Access::TenantOf(const grpc::ServerContextBase& context) const {
  if (!tokens_.has_value()) return "";
  const auto found = context.client_metadata().find("authorization");
  if (found == context.client_metadata().end()) {
    throw Error(kUnauthenticated,
                "this server asks for a token: metadata 'authorization: Bearer TOKEN'");
  }
  const std::string_view value(found->second.data(), found->second.size());
  if (value.starts_with(kScheme)) {
    auto tenant = tokens_->TenantOf(value.substr(kScheme.size()));
    if (tenant.has_value()) return *std::move(tenant);
  }
  throw Error(kUnauthenticated, "the token in the metadata 'authorization' is not known here");
}

void Access::CheckMessage(const grpc::ServerContextBase& context, size_t bytes) const {
  if (!tokens_.has_value()) return;
  const int64_t limit = store_.limits().Of(TenantOf(context)).max_message_bytes;
  CheckQuota("max_message_bytes", limit, 0, static_cast<int64_t>(bytes));
}

}  // namespace gradwire::rpc
