// Who calls, and the sessions that they may see: the one way from a call to a session.
#ifndef GRADWIRE_RPC_ACCESS_H_
#define GRADWIRE_RPC_ACCESS_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "rpc/metrics.h"
#include "rpc/tokens.h"
#include "session/session_store.h"

namespace gradwire::rpc {

// Thread-safe. Each method throws UNAUTHENTICATED when tokens are asked for and the call's metadata
// has no good one ("authorization: Bearer TOKEN").
class Access {
 public:
  // `store` and `metrics` outlive this. Without `tokens` everyone is the tenant "".
  Access(SessionStore& store, Metrics& metrics, std::optional<Tokens> tokens)
      : store_(store), metrics_(metrics), tokens_(std::move(tokens)) {}

  std::string TenantOf(const grpc::ServerContextBase& context) const;
  // As of SessionStore, for the tenant that calls.
  std::shared_ptr<Session> Open(const grpc::ServerContextBase& context,
                                const OpenRequest& request) const {
    return store_.Open(request, TenantOf(context));
  }
  std::shared_ptr<Session> Find(const grpc::ServerContextBase& context,
                                const std::string& id) const {
    return store_.Find(id, TenantOf(context));
  }
  // Throws QUOTA_EXCEEDED for a message longer than its tenant may send. What is too long for the
  // server never gets here.
  void CheckMessage(const grpc::ServerContextBase& context, size_t bytes) const;
  void Close(const grpc::ServerContextBase& context, const std::string& id) const {
    store_.Close(id, TenantOf(context));
  }
  const SessionStore& store() const { return store_; }
  Metrics& metrics() const { return metrics_; }

 private:
  SessionStore& store_;
  Metrics& metrics_;
  const std::optional<Tokens> tokens_;
};

}  // namespace gradwire::rpc

#endif  // GRADWIRE_RPC_ACCESS_H_
